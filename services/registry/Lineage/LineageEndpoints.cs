using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.EntityFrameworkCore;
using Qbb.Registry.Data;

namespace Qbb.Registry.Models;

/// <summary>What a version was made from, and what was made from it.</summary>
internal static class LineageEndpoints
{
    public static void MapLineage(this IEndpointRouteBuilder routes) =>
        routes.MapGet("/api/models/{name}/versions/{reference}/lineage", Get).WithTags("lineage")
            .WithSummary("Says what a version was made from and how, and what was made from it.");

    private static async Task<Ok<LineageAnswer>> Get(
        string name, string reference, RegistryContext context, ModelFinder finder, CancellationToken cancellation)
    {
        var version = await finder.VersionAsync(name, reference, cancellation);
        var own = await context.Lineages.AsNoTracking().Include(lineage => lineage.Parent).ThenInclude(parent => parent.Model)
            .FirstOrDefaultAsync(lineage => lineage.VersionId == version.Id, cancellation);
        var children = await context.Versions.AsNoTracking()
            .Where(child => child.Lineage!.ParentId == version.Id && child.DeletedAt == null)
            .OrderBy(child => child.CreatedAt).Select(child => new VersionName(child.Model.Name, child.Number)).ToListAsync(cancellation);
        return TypedResults.Ok(new LineageAnswer(new VersionName(name, version.Number), own is null ? null : Views.Make(own), children));
    }
}
