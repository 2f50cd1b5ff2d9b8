using System.Net;
using System.Net.Http.Headers;
using System.Net.Mime;
using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using Refit;

namespace Qbb.Registry.Mlflow.Client;

/// <summary>MLflow refused a request, or does not answer. The message is for people.</summary>
/// <param name="message">What is wrong.</param>
/// <param name="code">MLflow's error code; null where it is not MLflow that answered.</param>
/// <param name="status">Null where nobody answered.</param>
/// <param name="retryAfter">When the server wants to be asked again.</param>
/// <param name="inner">The cause.</param>
internal sealed class MlflowException(string message, string? code, HttpStatusCode? status, TimeSpan? retryAfter = null, Exception? inner = null)
    : Exception(message, inner)
{
    private static readonly string[] s_passing = ["TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "CANCELLED"];

    public string? Code => code;

    public HttpStatusCode? Status => status;

    public TimeSpan? RetryAfter => retryAfter;

    /// <summary>
    /// Whether the request itself is at fault: sent again it would be refused again. All else passes or is for an operator to mend: a network or
    /// server that is away, a proxy in between, credentials.
    /// </summary>
    public bool IsRefusal => code is not null && !s_passing.Contains(code)
        && status is >= HttpStatusCode.BadRequest and < HttpStatusCode.InternalServerError or HttpStatusCode.NotImplemented
        && status is not (HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden or HttpStatusCode.RequestTimeout or HttpStatusCode.TooManyRequests);

    /// <summary>Whether the server may have acted although its answer is an error or was lost.</summary>
    public bool MayHaveActed => status is null or >= HttpStatusCode.InternalServerError or HttpStatusCode.RequestTimeout;

    public bool IsMissing => code == MlflowCodes.DoesNotExist;

    /// <summary>The server is too old for the route.</summary>
    public bool IsUnknownRoute => status is HttpStatusCode.NotFound or HttpStatusCode.MethodNotAllowed or HttpStatusCode.NotImplemented
        && code is null or MlflowCodes.EndpointNotFound or MlflowCodes.NotImplemented;
}

/// <summary>Makes clients of an MLflow server.</summary>
internal static class MlflowConnection
{
    private static readonly TimeSpan s_connect = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan s_lifetime = TimeSpan.FromMinutes(5);

    /// <summary>
    /// As protobuf writes JSON: int64 may be a string, infinities and NaN are names, what is not set is left out. What we do not know is passed over.
    /// </summary>
    public static JsonSerializerOptions Json { get; } = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        NumberHandling = JsonNumberHandling.AllowReadingFromString | JsonNumberHandling.AllowNamedFloatingPointLiterals,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        RespectRequiredConstructorParameters = true,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.SnakeCaseUpper) },
    };

    /// <param name="options">Address and credentials.</param>
    /// <param name="clock">Measures how long requests take.</param>
    /// <param name="handler">What sends the requests; null for the network.</param>
    public static IMlflowApi Connect(MlflowOptions options, TimeProvider clock, HttpMessageHandler? handler = null)
    {
        var address = new Uri(options.TrackingUri!.TrimEnd('/'));
        var http = new HttpClient(new Answers(address, options, clock, handler ?? Network(options)))
        {
            BaseAddress = address,
            // Answers has a limit of its own, which files are free of.
            Timeout = Timeout.InfiniteTimeSpan,
        };
        return RestService.For<IMlflowApi>(http, new RefitSettings(new SystemTextJsonContentSerializer(Json))
        {
            UrlParameterFormatter = new UrlValues(),
            UrlParameterKeyFormatter = new SnakeCaseKeys(),
            CollectionFormat = CollectionFormat.Multi,
            // Refit asks this for some kinds of methods and not for others: what Answers throws is right for all.
            TransportExceptionFactory = (_, error, _) => error,
            DeserializationExceptionFactory = (_, error) => ValueTask.FromResult<Exception?>(error is JsonException
                ? new MlflowException($"{address} answers, but not as MLflow does", null, HttpStatusCode.OK, inner: error) : error),
        });
    }

    internal static SocketsHttpHandler Network(MlflowOptions options)
    {
        // Addresses of a name that moves to another machine are looked up again.
        var handler = new SocketsHttpHandler { ConnectTimeout = s_connect, PooledConnectionLifetime = s_lifetime, AllowAutoRedirect = false };
        if (options.CaFile is not null)
        {
            handler.SslOptions.CertificateChainPolicy = new X509ChainPolicy
            {
                TrustMode = X509ChainTrustMode.CustomRootTrust,
                RevocationMode = X509RevocationMode.NoCheck,
            };
            handler.SslOptions.CertificateChainPolicy.CustomTrustStore.AddRange(options.ReadAuthorities()!);
        }
        return handler;
    }

    /// <summary>Adds credentials and turns errors into messages for people, before Refit sees them.</summary>
    private sealed class Answers(Uri address, MlflowOptions options, TimeProvider clock, HttpMessageHandler inner) : DelegatingHandler(inner)
    {
        private const int MostText = 300;
        private AuthenticationHeaderValue? _credentials = Read(options);

        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            request.Headers.Authorization = _credentials;
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            using var timer = IsFile(request)
                ? null
                : clock.CreateTimer(_ => Cancel(limit), null, TimeSpan.FromSeconds(options.RequestSeconds), Timeout.InfiniteTimeSpan);
            try
            {
                var answer = await base.SendAsync(request, limit.Token);
                if (answer.IsSuccessStatusCode && IsMlflows(request, answer))
                    return answer;
                using (answer)
                    throw await RefusalAsync(answer, limit.Token);
            }
            catch (HttpRequestException error)
            {
                throw Away($"no MLflow server answers at {address} ({(error.InnerException ?? error).Message})", error);
            }
            catch (IOException error)
            {
                throw Away($"{address} ended the connection ({error.Message})", error);
            }
            catch (OperationCanceledException error) when (!cancellationToken.IsCancellationRequested)
            {
                throw Away($"{address} did not answer within {options.RequestSeconds:0.#} s (Mlflow:RequestSeconds)", error);
            }
        }

        private static MlflowException Away(string message, Exception error) => new(message, null, null, inner: error);

        private static bool IsFile(HttpRequestMessage request) =>
            request.RequestUri!.AbsolutePath.Contains("/mlflow-artifacts/artifacts/", StringComparison.Ordinal) && request.Method != HttpMethod.Delete;

        // A login page of a proxy is a success too.
        private static bool IsMlflows(HttpRequestMessage request, HttpResponseMessage answer) =>
            IsFile(request) || answer.Content.Headers.ContentType?.MediaType == MediaTypeNames.Application.Json;

        private async Task<MlflowException> RefusalAsync(HttpResponseMessage answer, CancellationToken cancellation)
        {
            var text = await answer.Content.ReadAsStringAsync(cancellation);
            Refusal? refusal = null;
            try
            {
                refusal = JsonSerializer.Deserialize<Refusal>(text, Json);
            }
            catch (JsonException)
            {
                // Some other server, or a proxy in between.
            }
            var retry = answer.Headers.RetryAfter is { } after ? after.Delta ?? after.Date - clock.GetUtcNow() : null;
            var isClosed = answer.StatusCode is HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden;
            if (isClosed)
                // A token that was renewed meanwhile.
                _credentials = Read(options);
            var said = refusal?.Message ?? (text.Length > 0 && answer.Content.Headers.ContentType?.MediaType == MediaTypeNames.Text.Plain ? MlflowLimits.Cut(text, MostText) : null);
            var message = isClosed
                ? $"MLflow at {address} refuses the credentials ({(int)answer.StatusCode}{(said is null ? "" : $", {said.Trim()}")}): check Mlflow:Token or Mlflow:Username and Password, and the host names that it allows"
                : refusal?.ErrorCode is { } code ? $"{refusal.Message ?? code} ({code})"
                : $"{address} answered {(int)answer.StatusCode} to {answer.RequestMessage?.Method} {answer.RequestMessage?.RequestUri?.AbsolutePath}{(said is null ? "" : $": {said.Trim()}")}";
            return new MlflowException(message, refusal?.ErrorCode, answer.StatusCode, retry);
        }

        private static AuthenticationHeaderValue? Read(MlflowOptions options)
        {
            if ((options.Token ?? FirstLine(options.TokenFile)) is { } token)
                return new("Bearer", token);
            return options.Username is { } user
                ? new("Basic", Convert.ToBase64String(Encoding.UTF8.GetBytes($"{user}:{options.Password ?? FirstLine(options.PasswordFile)}")))
                : null;
        }

        private static string? FirstLine(string? file) => file is null ? null : File.ReadLines(file).FirstOrDefault()?.Trim();

        private static void Cancel(CancellationTokenSource source)
        {
            try
            {
                source.Cancel();
            }
            catch (ObjectDisposedException)
            {
                // The answer came at the same moment.
            }
        }

        private sealed record Refusal(string? ErrorCode = null, string? Message = null);
    }

    private sealed class SnakeCaseKeys : IUrlParameterKeyFormatter
    {
        public string Format(string key) => JsonNamingPolicy.SnakeCaseLower.ConvertName(key);
    }
}
