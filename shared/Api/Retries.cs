using System.Net;
using System.Net.Mime;
using Microsoft.Extensions.Http.Resilience;
using Polly;
using Polly.Retry;

namespace Qbb.Api;

/// <summary>How a client retries requests that the network, a proxy or a busy registry failed.</summary>
public sealed record RetryOptions
{
    /// <summary>Nothing is retried: for callers with a loop of their own.</summary>
    public static RetryOptions None { get; } = new() { Limit = TimeSpan.Zero };

    /// <summary>How long a request is retried, from its first failure on. A Retry-After beyond it ends the attempts at once.</summary>
    public TimeSpan Limit { get; init; } = TimeSpan.FromMinutes(2);

    /// <summary>Measures the time and waits.</summary>
    public TimeProvider Clock { get; init; } = TimeProvider.System;

    /// <summary>Called with the reason when the registry stops answering.</summary>
    public Action<string>? OnRetry { get; init; }
}

/// <summary>A request and its attempts.</summary>
internal sealed class Attempts(RetryOptions options)
{
    public const string KeyHeader = "Idempotency-Key";

    private static readonly HttpRequestOptionsKey<Attempts> s_key = new("qbb.attempts");

    private long _from = options.Clock.GetTimestamp();
    private TimeSpan _delay;
    private long? _failedAt;

    public bool IsRepeated { get; private set; }

    /// <summary>
    /// Prepares a request for repetition: what is not idempotent by its method gets a key, by which the registry recognizes it. Those of its routes that take
    /// no key are idempotent by nature.
    /// </summary>
    public static Attempts Begin(HttpRequestMessage request, RetryOptions options)
    {
        if (request.Method == HttpMethod.Post && !request.Headers.Contains(KeyHeader))
            request.Headers.Add(KeyHeader, Guid.CreateVersion7().ToString());
        var attempts = new Attempts(options);
        request.Options.Set(s_key, attempts);
        return attempts;
    }

    /// <summary>Statuses of a registry, or of a proxy before it, that is out of order for a while.</summary>
    public static bool IsPassing(HttpStatusCode status) =>
        status is HttpStatusCode.TooManyRequests or HttpStatusCode.BadGateway or HttpStatusCode.ServiceUnavailable or HttpStatusCode.GatewayTimeout;

    /// <summary>Nothing was sent: there is nobody at the address.</summary>
    public static bool IsNobody(HttpRequestException error) =>
        error.HttpRequestError is HttpRequestError.ConnectionError or HttpRequestError.NameResolutionError or HttpRequestError.SecureConnectionError;

    /// <param name="network">What sends the requests.</param>
    /// <param name="options">How long to retry.</param>
    /// <param name="wasThere">Whether a registry has answered before: an address where none ever did is not retried.</param>
    /// <param name="tell">Told of the reason before a request is retried for the first time.</param>
    public static HttpMessageHandler Handler(HttpMessageHandler network, RetryOptions options, Func<bool> wasThere, Action<string> tell) => new ResilienceHandler(
        new ResiliencePipelineBuilder<HttpResponseMessage> { TimeProvider = options.Clock }.AddRetry(new HttpRetryStrategyOptions
        {
            MaxRetryAttempts = int.MaxValue,
            BackoffType = DelayBackoffType.Exponential,
            Delay = TimeSpan.FromSeconds(0.5),
            MaxDelay = TimeSpan.FromSeconds(10),
            UseJitter = true,
            ShouldHandle = retry => ValueTask.FromResult(Of(retry.Context) is { } attempts && attempts.MayRepeat(retry.Outcome, wasThere())),
            DelayGenerator = retry => ValueTask.FromResult(RetryAfter(retry.Outcome.Result, options.Clock)),
            OnRetry = retry =>
            {
                Of(retry.Context)!.Repeat(retry, tell);
                return ValueTask.CompletedTask;
            },
        }).Build())
    {
        InnerHandler = new WholeAnswers(network),
    };

    private static Attempts? Of(ResilienceContext context) =>
        context.GetRequestMessage() is { } request && request.Options.TryGetValue(s_key, out var attempts) ? attempts : null;

    private static TimeSpan? RetryAfter(HttpResponseMessage? answer, TimeProvider clock) => answer?.Headers.RetryAfter is { } after
        ? after.Delta ?? (after.Date - clock.GetUtcNow() is { } left && left > TimeSpan.Zero ? left : TimeSpan.Zero)
        : null;

    private bool MayRepeat(Outcome<HttpResponseMessage> outcome, bool wasThere)
    {
        var isFailure = outcome.Exception is HttpRequestException error ? wasThere || !IsNobody(error) : outcome.Result is { } answer && IsPassing(answer.StatusCode);
        if (!isFailure)
            return false;
        // An attempt that took longer than the limit, as a large upload, had somebody to talk to: silence begins anew.
        if (options.Clock.GetElapsedTime(_from) - _delay > options.Limit)
            _failedAt = null;
        var failedAt = _failedAt ??= options.Clock.GetTimestamp();
        return options.Clock.GetElapsedTime(failedAt) + (RetryAfter(outcome.Result, options.Clock) ?? TimeSpan.Zero) < options.Limit;
    }

    private void Repeat(OnRetryArguments<HttpResponseMessage> retry, Action<string> tell)
    {
        if (!IsRepeated)
            tell(retry.Outcome.Exception?.Message ?? $"it answered {(int)retry.Outcome.Result!.StatusCode}");
        (IsRepeated, _from, _delay) = (true, options.Clock.GetTimestamp(), retry.RetryDelay);
        retry.Outcome.Result?.Dispose();
    }

    /// <summary>Reads answers that are not files or events to their end, so that a connection that breaks in the middle is a failure of the attempt.</summary>
    private sealed class WholeAnswers(HttpMessageHandler inner) : DelegatingHandler(inner)
    {
        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            HttpResponseMessage answer;
            try
            {
                answer = await base.SendAsync(request, cancellationToken);
            }
            catch (OperationCanceledException error) when (error.InnerException is TimeoutException)
            {
                // SocketsHttpHandler's way to say that nobody took the connection.
                throw new HttpRequestException(HttpRequestError.ConnectionError, error.Message, error);
            }
            if (answer.Content.Headers.ContentType?.MediaType is not (MediaTypeNames.Application.Octet or MediaTypeNames.Text.EventStream))
                await answer.Content.LoadIntoBufferAsync(cancellationToken);
            return answer;
        }
    }
}
