using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.Extensions.Options;
using Qbb.Registry.Http;

namespace Qbb.Registry.Collecting;

/// <summary>Makes room.</summary>
internal static class CollectionEndpoints
{
    public static void MapCollection(this IEndpointRouteBuilder routes) =>
        routes.MapPost("/api/collect", Collect).WithTags("collect").ProducesProblem(400)
            .WithSummary("Collects garbage, or with dryRun only reports what would be removed.")
            .WithDescription("deletedDays, resultDays, retryDays and graceMinutes, where given, take the place of the settings: 0 spares nothing of that kind.");

    private static async Task<Ok<CollectionReport>> Collect(
        bool? dryRun, double? deletedDays, double? resultDays, double? graceMinutes, double? retryDays, Collector collector, IOptions<RegistryOptions> options,
        CancellationToken cancellation)
    {
        var usual = CollectionLimits.Of(options.Value);
        var limits = new CollectionLimits(
            Days("deletedDays", deletedDays) ?? usual.Deleted, Days("resultDays", resultDays) ?? usual.Results,
            Days("graceMinutes", graceMinutes / (24 * 60)) ?? usual.Grace, Days("retryDays", retryDays) ?? usual.Retry);
        return TypedResults.Ok(await collector.RunAsync(limits, dryRun ?? false, cancellation));
    }

    private static TimeSpan? Days(string name, double? days) => days switch
    {
        null => null,
        >= 0 and <= 100_000 => TimeSpan.FromDays(days.Value),
        _ => throw RefusedException.Invalid($"{name} must be 0 or more"),
    };
}
