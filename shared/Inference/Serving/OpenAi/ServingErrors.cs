using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Logging;

namespace Qbb.Inference.Serving.OpenAi;

/// <summary>Refuses requests without the key, and answers every failure in the shape that OpenAI's clients read.</summary>
/// <param name="next">The routes.</param>
/// <param name="access">Who may ask.</param>
/// <param name="meter">Counts requests.</param>
/// <param name="log">For failures that are not the request's.</param>
internal sealed class ServingErrors(RequestDelegate next, ServingAccess access, ServingMeter meter, ILogger<ServingErrors> log)
{
    public static ApiException Internal() => new(StatusCodes.Status500InternalServerError, "The server failed; its log says why.", code: "internal_error");

    public async Task InvokeAsync(HttpContext http)
    {
        var route = (http.GetEndpoint() as RouteEndpoint)?.RoutePattern.RawText ?? "";
        try
        {
            if (route != ServingExtensions.Health && !access.Admits(http.Request))
            {
                http.Response.Headers.WWWAuthenticate = "Bearer";
                throw new ApiException(StatusCodes.Status401Unauthorized, "Incorrect API key: send the server's key in the header Authorization: Bearer KEY.", code: "invalid_api_key");
            }
            await next(http);
            if (http.Response is { HasStarted: false, StatusCode: StatusCodes.Status404NotFound or StatusCodes.Status405MethodNotAllowed })
                throw new ApiException(http.Response.StatusCode, $"Unknown URL ({http.Request.Method} {http.Request.Path}).", code: "unknown_url");
        }
        catch (Exception) when (http.RequestAborted.IsCancellationRequested)
        {
            // Nobody waits for an answer.
            meter.Request(route, StatusCodes.Status499ClientClosedRequest);
            return;
        }
        catch (Exception error) when (!http.Response.HasStarted)
        {
            var known = ApiException.Of(error);
            if (known is null)
                log.LogError(error, "{Method} {Path} failed", http.Request.Method, http.Request.Path);
            if (error is QueueFullException { RetryAfter: var wait })
                http.Response.Headers.RetryAfter = Math.Ceiling(wait.TotalSeconds).ToString(CultureInfo.InvariantCulture);
            known ??= Internal();
            await Routes.WriteAsync(http, known.Status, known.ToJson());
        }
        meter.Request(route, http.Response.StatusCode);
    }
}

/// <summary>Who may ask: everybody, or who knows the key.</summary>
/// <param name="key">Null for everybody.</param>
public sealed class ServingAccess(string? key)
{
    private readonly byte[]? _hash = key is null ? null : SHA256.HashData(Encoding.UTF8.GetBytes(key));

    // The hashes have one length, and comparing them takes the same time whatever they are.
    internal bool Admits(HttpRequest request) => _hash is null || request.Headers.Authorization is [{ } header]
        && header.StartsWith("Bearer ", StringComparison.OrdinalIgnoreCase)
        && CryptographicOperations.FixedTimeEquals(_hash, SHA256.HashData(Encoding.UTF8.GetBytes(header["Bearer ".Length..].Trim())));
}
