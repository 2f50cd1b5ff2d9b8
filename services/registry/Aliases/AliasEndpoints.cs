using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.EntityFrameworkCore;
using Qbb.Registry.Data;
using Qbb.Registry.Http;

namespace Qbb.Registry.Models;

/// <summary>Names that point to versions.</summary>
internal static class AliasEndpoints
{
    public static void MapAliases(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("/api/models/{name}/aliases").WithTags("aliases");
        group.MapGet("/", List).WithSummary("Lists a model's aliases.");
        group.MapGet("/{alias}", Get).WithSummary("Shows where an alias points.");
        group.MapPut("/{alias}", Put).WithSummary("Points an alias to a version.").ProducesProblem(404).ProducesProblem(412);
        group.MapDelete("/{alias}", Delete).WithSummary("Removes an alias; the version stays.");
    }

    private static async Task<Ok<IReadOnlyDictionary<string, int>>> List(
        string name, ModelFinder finder, Views views, CancellationToken cancellation) =>
        TypedResults.Ok((await views.OfAsync(await finder.ModelAsync(name, cancellation), cancellation)).Aliases);

    private static async Task<Results<Ok<AliasView>, StatusCodeHttpResult>> Get(
        string name, string alias, RegistryContext context, ModelFinder finder, ETags tags, CancellationToken cancellation) =>
        tags.Ok(View(await FindAsync(name, alias, context, finder, cancellation) ?? throw RefusedException.NotFound($"{name} has no alias {alias}")));

    internal static async Task<Ok<AliasView>> Put(
        string name, string alias, AliasChange change, RegistryContext context, ModelFinder finder, ETags tags, TimeProvider clock,
        CancellationToken cancellation)
    {
        if (ModelName.ProblemOfAlias(alias) is { } problem)
            throw RefusedException.Invalid(problem);
        var version = await finder.VersionAsync(name, $"{change.Version}", cancellation);
        var there = await FindAsync(name, alias, context, finder, cancellation);
        tags.Require(there is null ? null : View(there));
        if (there is null)
        {
            there = new Alias { ModelId = version.ModelId, Name = alias, VersionId = version.Id, UpdatedAt = clock.GetUtcNow() };
            context.Aliases.Add(there);
        }
        else
        {
            (there.VersionId, there.UpdatedAt) = (version.Id, clock.GetUtcNow());
            there.Revision++;
        }
        await context.SaveChangesAsync(cancellation);
        return TypedResults.Ok(new AliasView(alias, version.Number, there.UpdatedAt));
    }

    internal static async Task<NoContent> Delete(
        string name, string alias, RegistryContext context, ModelFinder finder, ETags tags, CancellationToken cancellation)
    {
        var there = await FindAsync(name, alias, context, finder, cancellation) ?? throw RefusedException.NotFound($"{name} has no alias {alias}");
        tags.Require(View(there));
        context.Aliases.Remove(there);
        await context.SaveChangesAsync(cancellation);
        return TypedResults.NoContent();
    }

    private static async Task<Alias?> FindAsync(
        string name, string alias, RegistryContext context, ModelFinder finder, CancellationToken cancellation)
    {
        var model = await finder.ModelAsync(name, cancellation);
        return await context.Aliases.Include(row => row.Version)
            .FirstOrDefaultAsync(row => row.ModelId == model.Id && row.Name == alias && row.Version.DeletedAt == null, cancellation);
    }

    private static AliasView View(Alias alias) => new(alias.Name, alias.Version.Number, alias.UpdatedAt);
}
