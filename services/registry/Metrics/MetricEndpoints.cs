using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.EntityFrameworkCore;
using Qbb.Registry.Data;
using Qbb.Registry.Http;

namespace Qbb.Registry.Models;

/// <summary>Figures of versions; the pipelines file theirs, people may add others.</summary>
internal static class MetricEndpoints
{
    public static void MapMetrics(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("/api/models/{name}/versions/{reference}/metrics").WithTags("metrics");
        group.MapGet("/", List).WithSummary("Lists a version's figures.");
        group.MapPut("/", Put).WithSummary("Sets figures; those that are not named stay.").ProducesProblem(400);
    }

    private static async Task<Ok<Dictionary<string, double>>> List(
        string name, string reference, RegistryContext context, ModelFinder finder, CancellationToken cancellation)
    {
        var version = await finder.VersionAsync(name, reference, cancellation);
        return TypedResults.Ok(await context.Set<Metric>().AsNoTracking().Where(metric => metric.VersionId == version.Id)
            .OrderBy(metric => metric.Name).ToDictionaryAsync(metric => metric.Name, metric => metric.Value, cancellation));
    }

    private static async Task<NoContent> Put(
        string name, string reference, Dictionary<string, double> metrics, RegistryContext context, ModelFinder finder,
        CancellationToken cancellation)
    {
        var problems = metrics.Where(metric => ModelName.ProblemOf(metric.Key) is not null || !double.IsFinite(metric.Value))
            .Select(metric => $"{metric.Key} = {metric.Value} is no figure: names are as those of models, values are numbers").ToList();
        if (problems.Count > 0)
            throw RefusedException.Invalid(string.Join("; ", problems), problems);
        var version = await finder.VersionAsync(name, reference, cancellation);
        await context.Entry(version).Collection(row => row.Metrics).LoadAsync(cancellation);
        foreach (var (key, value) in metrics)
            MetricRows.Set(version, key, value);
        await context.SaveChangesAsync(cancellation);
        return TypedResults.NoContent();
    }
}
