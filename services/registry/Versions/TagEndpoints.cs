using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.EntityFrameworkCore;
using Qbb.Registry.Data;
using Qbb.Registry.Http;

namespace Qbb.Registry.Models;

/// <summary>What people note about versions.</summary>
internal static class TagEndpoints
{
    public static void MapTags(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("/api/models/{name}/versions/{reference}/tags").WithTags("tags");
        group.MapGet("/", List).WithSummary("Lists a version's tags.");
        group.MapPut("/{key}", Put).WithSummary("Sets a tag.").ProducesProblem(400);
        group.MapDelete("/{key}", Delete).WithSummary("Removes a tag.");
    }

    private static async Task<Ok<Dictionary<string, string>>> List(
        string name, string reference, RegistryContext context, ModelFinder finder, CancellationToken cancellation)
    {
        var version = await finder.VersionAsync(name, reference, cancellation);
        return TypedResults.Ok(await context.Set<VersionTag>().AsNoTracking().Where(tag => tag.VersionId == version.Id)
            .OrderBy(tag => tag.Key).ToDictionaryAsync(tag => tag.Key, tag => tag.Value, cancellation));
    }

    internal static async Task<NoContent> Put(
        string name, string reference, string key, TagValue tag, RegistryContext context, ModelFinder finder, CancellationToken cancellation)
    {
        if (TagRules.Problems(new Dictionary<string, string> { [key] = tag.Value }).FirstOrDefault() is { } problem)
            throw RefusedException.Invalid(problem);
        var version = await finder.VersionAsync(name, reference, cancellation);
        if (await context.Set<VersionTag>().FindAsync([version.Id, key], cancellation) is { } there)
            there.Value = tag.Value;
        else
            context.Add(new VersionTag { VersionId = version.Id, Key = key, Value = tag.Value });
        await context.SaveChangesAsync(cancellation);
        return TypedResults.NoContent();
    }

    internal static async Task<NoContent> Delete(
        string name, string reference, string key, RegistryContext context, ModelFinder finder, CancellationToken cancellation)
    {
        var version = await finder.VersionAsync(name, reference, cancellation);
        var removed = await context.Set<VersionTag>().Where(tag => tag.VersionId == version.Id && tag.Key == key).ExecuteDeleteAsync(cancellation);
        return removed > 0 ? TypedResults.NoContent() : throw RefusedException.NotFound($"the version has no tag {key}");
    }
}
