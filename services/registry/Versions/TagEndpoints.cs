using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Mvc;
using Microsoft.EntityFrameworkCore;
using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Pages;

namespace Qbb.Registry.Versions;

/// <summary>What people note about versions.</summary>
internal static class TagEndpoints
{
    private const int MostKey = 64;
    private const int MostValue = 256;

    public static void MapTags(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("/api/models/{name}/versions/{reference}/tags").WithTags("tags");
        group.MapGet("/", List).WithSummary("Lists a version's tags.");
        group.MapPut("/{key}", Put).WithSummary("Sets a tag.").ProducesProblem(400);
        group.MapDelete("/{key}", Delete).WithSummary("Removes a tag.");

        var forms = routes.MapPages("/models/{name}/versions/{version:int}/tags");
        forms.MapPost("", async (string name, int version, [FromForm] string? key, [FromForm] string? value, [AsParameters] VersionServices services) =>
        {
            await Put(name, $"{version}", (key ?? "").Trim(), new TagValue((value ?? "").Trim()), services);
            return VersionPage.See(name, version);
        });
        forms.MapPost("/remove", async (string name, int version, [FromForm] string? key, [AsParameters] VersionServices services) =>
        {
            await Delete(name, $"{version}", key ?? "", services);
            return VersionPage.See(name, version);
        });
    }

    /// <summary>Everything that is wrong with tags.</summary>
    public static IEnumerable<string> Problems(IReadOnlyDictionary<string, string>? tags)
    {
        foreach (var (key, value) in tags ?? new Dictionary<string, string>())
        {
            if (ModelName.ProblemOf(key) is not null)
                yield return $"a tag's key has 1 to {MostKey} letters, digits, dots, hyphens and underscores";
            if (value is null || value.Length > MostValue || value.Any(char.IsControl))
                yield return $"a tag's value has at most {MostValue} characters and no control characters";
        }
    }

    private static async Task<Ok<Dictionary<string, string>>> List(string name, string reference, [AsParameters] VersionServices services)
    {
        var version = await services.Finder.VersionAsync(name, reference, services.Cancellation);
        return TypedResults.Ok(await services.Context.Set<VersionTag>().AsNoTracking().Where(tag => tag.VersionId == version.Id)
            .OrderBy(tag => tag.Key).ToDictionaryAsync(tag => tag.Key, tag => tag.Value, services.Cancellation));
    }

    private static Task<NoContent> Put(string name, string reference, string key, TagValue tag, [AsParameters] VersionServices services)
    {
        if (Problems(new Dictionary<string, string> { [key] = tag.Value }).FirstOrDefault() is { } problem)
            throw RefusedException.Invalid(problem);
        return services.ChangeAsync(name, reference, async version =>
        {
            if (await services.Context.Set<VersionTag>().FindAsync([version.Id, key], services.Cancellation) is { } there)
                there.Value = tag.Value;
            else
                services.Context.Add(new VersionTag { VersionId = version.Id, Key = key, Value = tag.Value });
            return TypedResults.NoContent();
        });
    }

    private static Task<NoContent> Delete(string name, string reference, string key, [AsParameters] VersionServices services) =>
        services.ChangeAsync(name, reference, async version =>
        {
            var there = await services.Context.Set<VersionTag>().FindAsync([version.Id, key], services.Cancellation)
                ?? throw RefusedException.NotFound($"the version has no tag {key}");
            services.Context.Remove(there);
            return TypedResults.NoContent();
        });
}
