using System.Net;
using System.Net.Http.Headers;
using System.Net.Mime;
using System.Text.Json;
using System.Text.Json.Nodes;
using Qbb.Contracts;
using Refit;

namespace Qbb.Api;

/// <summary>The registry refused a request; the message is its own.</summary>
public sealed class RegistryRefusedException(HttpStatusCode status, string message, IReadOnlyList<string> errors) : InvalidInputException(message)
{
    public HttpStatusCode Status => status;

    /// <summary>The single problems, where there are several.</summary>
    public IReadOnlyList<string> Errors => errors;
}

/// <summary>Nobody answers at the registry's address, or something else does.</summary>
public sealed class RegistryAwayException(string problem, string remedy, Exception? inner = null) : InvalidInputException(problem, remedy, inner);

/// <summary>Makes clients of a registry.</summary>
public static class RegistryApi
{
    private static readonly TimeSpan s_connect = TimeSpan.FromSeconds(10);

    /// <param name="address">Of the registry.</param>
    /// <param name="handler">What sends the requests; null for the network.</param>
    public static IRegistryApi Connect(Uri address, HttpMessageHandler? handler = null)
    {
        // No limit of time: a large file takes long. What hangs is cancelled by hand.
        var http = new HttpClient(new Answers(address, handler ?? new SocketsHttpHandler { ConnectTimeout = s_connect }))
        {
            BaseAddress = address,
            Timeout = Timeout.InfiniteTimeSpan,
        };
        return RestService.For<IRegistryApi>(http, new RefitSettings(new SystemTextJsonContentSerializer(Wire.Json))
        {
            UrlParameterFormatter = new UrlValues(),
            UrlParameterKeyFormatter = new CamelCaseUrlParameterKeyFormatter(),
            CollectionFormat = CollectionFormat.Multi,
            // Refit calls this for some kinds of methods and not for others, and for cancellations too: what Answers throws is right for all.
            TransportExceptionFactory = (_, error, _) => error,
            DeserializationExceptionFactory = (_, error) =>
                ValueTask.FromResult<Exception?>(error is JsonException ? Other(address, error) : error),
        });
    }

    public static Task<bool> HasBlobAsync(this IRegistryApi api, Digest digest, CancellationToken cancellation = default) =>
        FoundAsync(() => api.FindBlobAsync(digest, cancellation));

    /// <summary>Keeps a blob for an upload; false where it is to be sent.</summary>
    public static Task<bool> TryKeepBlobAsync(this IRegistryApi api, Digest digest, CancellationToken cancellation = default) =>
        FoundAsync(() => api.KeepBlobAsync(digest, cancellation));

    private static async Task<bool> FoundAsync(Func<Task> call)
    {
        try
        {
            await call();
            return true;
        }
        catch (RegistryRefusedException refused) when (refused.Status == HttpStatusCode.NotFound)
        {
            return false;
        }
    }

    private static RegistryAwayException Other(Uri address, Exception? error = null) =>
        new($"the server at {address} is not a qbb registry", "give the address of one with --url", error);

    /// <summary>Turns errors of the network and refusals into messages for people, before Refit sees them.</summary>
    private sealed class Answers(Uri address, HttpMessageHandler inner) : DelegatingHandler(inner)
    {
        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            HttpResponseMessage answer;
            try
            {
                answer = await base.SendAsync(request, cancellationToken);
            }
            catch (HttpRequestException error)
            {
                throw new RegistryAwayException(
                    $"no registry answers at {address} ({error.Message})", "start one with qbb up, or give its address with --url", error);
            }
            if (answer.IsSuccessStatusCode && (request.Method != HttpMethod.Get || CanBeRegistrys(answer.Content.Headers)))
                return answer;
            using (answer)
                throw answer.IsSuccessStatusCode ? Other(address) : Refusal(answer, await answer.Content.ReadAsStringAsync(cancellationToken));
        }

        // Of an empty body Refit makes null, whatever the method promises.
        private static bool CanBeRegistrys(HttpContentHeaders content) => content.ContentType?.MediaType switch
        {
            MediaTypeNames.Application.Json => content.ContentLength != 0,
            MediaTypeNames.Application.Octet or MediaTypeNames.Text.EventStream or MediaTypeNames.Text.Markdown => true,
            _ => false,
        };

        private static RegistryRefusedException Refusal(HttpResponseMessage answer, string text)
        {
            Problem? problem = null;
            try
            {
                problem = JsonSerializer.Deserialize<Problem>(text, JsonSerializerOptions.Web);
            }
            catch (JsonException)
            {
                // Some other site, or a proxy in between.
            }
            var detail = problem?.Detail ?? problem?.Title ?? $"the registry answered {(int)answer.StatusCode} to {answer.RequestMessage?.RequestUri}";
            var errors = (problem?.Errors as JsonArray ?? []).Select(error => $"{error}").ToList();
            // Often the detail says them already.
            var more = errors.Where(error => !detail.Contains(error, StringComparison.Ordinal)).ToList();
            return new RegistryRefusedException(answer.StatusCode, more.Count == 0 ? detail : $"{detail}: {string.Join("; ", more)}", errors);
        }
    }

    /// <summary>ProblemDetails.</summary>
    private sealed record Problem(string? Title = null, string? Detail = null, JsonNode? Errors = null);
}
