using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.EntityFrameworkCore;
using Qbb.Registry.Versions;

namespace Qbb.Registry.Lineage;

/// <summary>What a version was made from, and what was made from it.</summary>
internal static class LineageEndpoints
{
    public static void MapLineage(this IEndpointRouteBuilder routes) =>
        routes.MapGet("/api/models/{name}/versions/{reference}/lineage", Get).WithTags("lineage")
            .WithSummary("Shows what a version was created from and how, and what was created from it.");

    private static async Task<Ok<LineageAnswer>> Get(string name, string reference, [AsParameters] VersionServices services)
    {
        var row = await services.Finder.VersionAsync(name, reference, services.Cancellation);
        var own = (await services.Views.OfVersionsAsync([row.Id], files: false, services.Cancellation))[0].Lineage;
        var children = await services.Views.ChildrenOf(row.Id)
            .Select(child => new VersionName(child.Model.Name, child.Number)).ToListAsync(services.Cancellation);
        return TypedResults.Ok(new LineageAnswer(new VersionName(name, row.Number), own, children));
    }
}
