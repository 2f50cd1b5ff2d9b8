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

/// <summary>A registry stopped answering, and did not come back within <see cref="RetryOptions.Limit"/>.</summary>
public sealed class RegistryLostException(string message, Exception? inner = null) : InvalidInputException(message, inner);

/// <summary>Makes clients of a registry.</summary>
public static class RegistryApi
{
    private const int MostVain = 5;
    private static readonly TimeSpan s_connect = TimeSpan.FromSeconds(10);

    /// <param name="address">Of the registry.</param>
    /// <param name="retries">What is done about failures of the network; null for the defaults.</param>
    /// <param name="handler">What sends the requests; null for the network.</param>
    public static IRegistryApi Connect(Uri address, RetryOptions? retries = null, HttpMessageHandler? handler = null)
    {
        // No limit of time: a large file takes long. What hangs is cancelled by hand.
        var http = new HttpClient(new Answers(address, retries ?? new RetryOptions(), handler ?? new SocketsHttpHandler { ConnectTimeout = s_connect }))
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

    /// <summary>Copies a file of a version to a stream. Where the connection breaks, the rest is requested.</summary>
    /// <param name="api">The registry.</param>
    /// <param name="model">The model's name.</param>
    /// <param name="reference">The version.</param>
    /// <param name="file">The file; whoever copies it checks its digest.</param>
    /// <param name="to">Where its bytes go.</param>
    /// <param name="from">The first byte; those before it are there already.</param>
    /// <param name="report">Told of how many bytes there are.</param>
    /// <param name="cancellation">Stops.</param>
    /// <exception cref="RegistryLostException">The connection breaks again and again without a byte.</exception>
    public static async Task CopyFileAsync(
        this IRegistryApi api, string model, string reference, FileEntry file, Stream to, long from = 0, Action<long>? report = null, CancellationToken cancellation = default)
    {
        var buffer = new byte[1 << 20];
        var (done, vain) = (from, 0);
        while (done < file.Size)
        {
            await using var content = await api.GetFileAsync(model, reference, file.Name, done == 0 ? null : $"bytes={done}-", cancellation);
            while (done < file.Size)
            {
                Exception? broken = null;
                var count = 0;
                try
                {
                    count = await content.ReadAsync(buffer, cancellation);
                }
                catch (Exception error) when (error is IOException or HttpRequestException)
                {
                    broken = error;
                }
                if (count == 0)
                {
                    if (++vain > MostVain)
                        throw new RegistryLostException($"the connection to the registry at {api.Client.BaseAddress} breaks at byte {done} of {file.Name} ({broken?.Message ?? "its end"})", broken);
                    break;
                }
                await to.WriteAsync(buffer.AsMemory(0, count), cancellation);
                (done, vain) = (done + count, 0);
                report?.Invoke(done);
            }
        }
    }

    private static RegistryAwayException Other(Uri address, Exception? error = null) =>
        new($"the server at {address} is not a qbb registry", "give the address of one with --url", error);

    /// <summary>Retries what the network fails, and turns its errors and refusals into messages for people, before Refit sees them.</summary>
    private sealed class Answers : DelegatingHandler
    {
        private readonly Uri _address;
        private readonly RetryOptions _retries;
        private volatile bool _wasThere;
        private int _isTold;

        public Answers(Uri address, RetryOptions retries, HttpMessageHandler network)
        {
            (_address, _retries) = (address, retries);
            InnerHandler = Attempts.Handler(network, retries, () => _wasThere, reason =>
            {
                // Of several requests at the same time one speaks.
                if (Interlocked.Exchange(ref _isTold, 1) == 0)
                    retries.OnRetry?.Invoke(reason);
            });
        }

        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            var attempts = Attempts.Begin(request, _retries);
            HttpResponseMessage answer;
            try
            {
                answer = await base.SendAsync(request, cancellationToken);
                (_wasThere, _isTold) = (true, 0);
            }
            catch (HttpRequestException error) when (_retries.Limit == TimeSpan.Zero || !attempts.IsRepeated && Attempts.IsNobody(error))
            {
                throw new RegistryAwayException(
                    $"no registry answers at {_address} ({error.Message})", "start one with qbb up, or give its address with --url", error);
            }
            catch (HttpRequestException error)
            {
                throw new RegistryLostException($"the registry at {_address} has not answered for {_retries.Limit.TotalSeconds:0} s ({error.Message})", error);
            }
            catch (InvalidOperationException error) when (attempts.IsRepeated)
            {
                throw new RegistryLostException($"the connection to the registry at {_address} broke, and the body of the request cannot be sent again", error);
            }
            if (answer.IsSuccessStatusCode && (request.Method != HttpMethod.Get || CanBeRegistrys(answer.Content.Headers)))
                return answer;
            // The answer to the first of several attempts was lost. (Without a model there is no gate to answer with.)
            if (answer.StatusCode == HttpStatusCode.NotFound && attempts.IsRepeated && request.Method == HttpMethod.Delete && !request.RequestUri!.AbsolutePath.EndsWith("/gate", StringComparison.Ordinal))
                return new HttpResponseMessage(HttpStatusCode.NoContent) { RequestMessage = request };
            using (answer)
            {
                if (answer.IsSuccessStatusCode)
                    throw Other(_address);
                var refused = Refusal(answer, await answer.Content.ReadAsStringAsync(cancellationToken));
                throw _retries.Limit > TimeSpan.Zero && Attempts.IsPassing(answer.StatusCode)
                    ? new RegistryLostException($"the registry at {_address} is not available ({refused.Message})", refused)
                    : refused;
            }
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
