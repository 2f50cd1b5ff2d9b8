using System.Net;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.Extensions.Options;
using Qbb.Registry.Http;

namespace Qbb.Registry.Collecting;

/// <summary>Makes room.</summary>
internal static class CollectionEndpoints
{
    public static void MapCollection(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("/api/collect").WithTags("collect");
        group.MapGet("/", Show).WithSummary("Shows when garbage was last collected, and whether it is being collected.");
        group.MapPost("/", Collect).AddEndpointFilter<CollectionRight>().ProducesProblem(400).ProducesProblem(401).ProducesProblem(403).ProducesProblem(409)
            .WithSummary("Collects garbage, or with dryRun only reports what would be removed.")
            .WithDescription("deletedDays, resultDays, retryDays and graceMinutes, where given, take the place of the settings: 0 spares nothing of that kind.");
    }

    private static async Task<Ok<CollectionView>> Show(CollectionTurns turns, CancellationToken cancellation) =>
        TypedResults.Ok(new CollectionView(await turns.LastAsync(cancellation), await turns.IsTakenAsync(cancellation)));

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

/// <summary>Permits a collection with the key from the settings, or from this machine alone if no key is set: collected blobs cannot be restored.</summary>
internal sealed class CollectionRight(IOptions<RegistryOptions> options) : IEndpointFilter
{
    private const string Scheme = "Bearer ";

    public ValueTask<object?> InvokeAsync(EndpointFilterInvocationContext context, EndpointFilterDelegate next)
    {
        var http = context.HttpContext;
        if (options.Value.ReadCollectKey() is not { } key)
        {
            return IsLocal(http) ? next(context) : throw new RefusedException(
                StatusCodes.Status403Forbidden, "only the registry's own machine may collect garbage: to allow others, set Registry:CollectKey and send it as Authorization: Bearer KEY");
        }
        var sent = http.Request.Headers.Authorization.ToString();
        if (!sent.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase))
            throw new RefusedException(StatusCodes.Status401Unauthorized, "garbage collection needs the key of Registry:CollectKey: send it as Authorization: Bearer KEY");
        return CryptographicOperations.FixedTimeEquals(HashOf(sent[Scheme.Length..].Trim()), HashOf(key))
            ? next(context)
            : throw new RefusedException(StatusCodes.Status403Forbidden, "the key is not the one of Registry:CollectKey");
    }

    // A proxy on this machine asks for others.
    private static bool IsLocal(HttpContext http) => http.Connection.RemoteIpAddress is not { } address || IPAddress.IsLoopback(address)
        && !http.Request.Headers.ContainsKey("X-Forwarded-For") && !http.Request.Headers.ContainsKey("Forwarded");

    private static byte[] HashOf(string text) => SHA256.HashData(Encoding.UTF8.GetBytes(text));
}
