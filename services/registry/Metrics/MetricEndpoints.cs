using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.EntityFrameworkCore;
using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Versions;

namespace Qbb.Registry.Metrics;

/// <summary>Metrics of versions; the pipelines file theirs, people may add others.</summary>
internal static class MetricEndpoints
{
    public static void MapMetrics(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("/api/models/{name}/versions/{reference}/metrics").WithTags("metrics");
        group.MapGet("/", List).WithSummary("Lists a version's metrics.");
        group.MapPut("/", Put).WithSummary("Sets metrics; others are kept.").ProducesProblem(400);
    }

    private static async Task<Ok<Dictionary<string, double>>> List(string name, string reference, [AsParameters] VersionServices services)
    {
        var version = await services.Finder.VersionAsync(name, reference, services.Cancellation);
        return TypedResults.Ok(await services.Context.Set<Metric>().AsNoTracking().Where(metric => metric.VersionId == version.Id)
            .OrderBy(metric => metric.Name).ToDictionaryAsync(metric => metric.Name, metric => metric.Value, services.Cancellation));
    }

    private static Task<NoContent> Put(string name, string reference, Dictionary<string, double> metrics, [AsParameters] VersionServices services)
    {
        var problems = metrics.Where(metric => ModelName.ProblemOf(metric.Key) is not null || !double.IsFinite(metric.Value))
            .Select(metric => $"invalid metric {metric.Key} = {metric.Value}: names are like those of models, values are numbers").ToList();
        if (problems.Count > 0)
            throw RefusedException.Invalid(string.Join("; ", problems), problems);
        return services.ChangeAsync(name, reference, async version =>
        {
            await services.Context.Entry(version).Collection(row => row.Metrics).LoadAsync(services.Cancellation);
            foreach (var (key, value) in metrics)
                version.SetMetric(key, value);
            return TypedResults.NoContent();
        });
    }
}
