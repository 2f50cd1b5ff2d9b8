using System.Collections.Concurrent;
using System.Net;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Qbb.Registry.Tests.Mlflow;

/// <summary>What goes wrong with a request.</summary>
internal enum Fault
{
    None,

    /// <summary>500 before anything is done.</summary>
    Fails,

    /// <summary>Acts, then ends the connection instead of answering.</summary>
    LosesAnswer,

    /// <summary>Acts, and never answers.</summary>
    Hangs,
}

/// <summary>
/// An MLflow server on a free port of this machine: routes, shapes and errors as the documentation and the reference answers of a real 3.6 server
/// have them. Two differences make it stricter: a point that is logged twice is there twice, and requests that break a documented limit are refused.
/// </summary>
internal sealed class FakeMlflow : IAsyncDisposable
{
    private readonly IHost _host;
    private readonly Lock _lock = new();

    private FakeMlflow(X509Certificate2? certificate)
    {
        _host = new HostBuilder().ConfigureWebHost(web => web
            .UseKestrel(server => server.Listen(IPAddress.Loopback, 0, listen =>
            {
                if (certificate is not null)
                    listen.UseHttps(certificate);
            }))
            .ConfigureServices(services => services.AddLogging(logging => logging.SetMinimumLevel(LogLevel.None)))
            .Configure(app => app.Run(AnswerAsync))).Build();
        Certificate = certificate;
    }

    public X509Certificate2? Certificate { get; }

    public Uri Address { get; private set; } = null!;

    public MlflowState State { get; private set; } = new();

    /// <summary>Method and path of every request that arrived, in order.</summary>
    public ConcurrentQueue<string> Requests { get; } = new();

    /// <summary>What goes wrong; asked once a request.</summary>
    public Func<HttpRequest, Fault> Fault { get; set; } = _ => Mlflow.Fault.None;

    /// <summary>The header that requests must have; null for none.</summary>
    public string? Authorization { get; set; }

    public static async Task<FakeMlflow> StartAsync(X509Certificate2? certificate = null)
    {
        var fake = new FakeMlflow(certificate);
        await fake._host.StartAsync();
        var address = fake._host.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First();
        fake.Address = new Uri(certificate is null ? address : address.Replace("127.0.0.1", "localhost"));
        return fake;
    }

    /// <summary>Another server takes the address over, with an empty database.</summary>
    public void Empty() => State = new MlflowState();

    public int Count(string request) => Requests.Count(seen => seen == request);

    public async ValueTask DisposeAsync()
    {
        await _host.StopAsync(TimeSpan.FromSeconds(1));
        _host.Dispose();
    }

    private async Task AnswerAsync(HttpContext http)
    {
        var (request, path) = (http.Request, http.Request.Path.Value!);
        Requests.Enqueue($"{request.Method} {path}");
        if (path.StartsWith("/parts/", StringComparison.Ordinal))
        {
            await TakePartAsync(http, path);
            return;
        }
        if (Authorization is { } expected && request.Headers.Authorization != expected)
        {
            http.Response.StatusCode = StatusCodes.Status401Unauthorized;
            await http.Response.WriteAsync("You are not authenticated.");
            return;
        }
        var fault = Fault(request);
        using var body = new MemoryStream();
        await request.Body.CopyToAsync(body);
        if (fault == Mlflow.Fault.Fails)
        {
            await WriteAsync(http, 500, MlflowState.Error("INTERNAL_ERROR", "the database is away"));
            return;
        }
        var (status, answer, file) = (200, null as JsonNode, null as byte[]);
        try
        {
            lock (_lock)
            {
                if (MlflowState.Artifact(request.Method, path) is { } artifact)
                    (answer, file) = State.Files(request.Method, artifact, body.ToArray());
                else
                    answer = State.Answer(request.Method, path, Parameters(request, body), Address);
            }
        }
        catch (FakeMlflowException error)
        {
            (status, answer) = (error.Status, MlflowState.Error(error.Code, error.Message));
        }
        if (fault == Mlflow.Fault.LosesAnswer)
            http.Abort();
        else if (fault == Mlflow.Fault.Hangs)
            await Task.Delay(Timeout.Infinite, http.RequestAborted).ContinueWith(_ => { }, TaskScheduler.Default);
        else if (file is not null)
            await http.Response.BodyWriter.WriteAsync(file);
        else
            await WriteAsync(http, status, answer!);
    }

    private static Task WriteAsync(HttpContext http, int status, JsonNode answer)
    {
        http.Response.StatusCode = status;
        http.Response.ContentType = "application/json";
        return http.Response.WriteAsync(answer.ToJsonString(MlflowState.Json));
    }

    // GET by query, all others by a body; what is repeated is a list.
    private static JsonObject Parameters(HttpRequest request, MemoryStream body)
    {
        if (body.Length > 0)
            return JsonNode.Parse(body.ToArray())!.AsObject();
        return new JsonObject(request.Query.Select(pair => KeyValuePair.Create(
            pair.Key, pair.Value.Count == 1 && pair.Key != "order_by" ? (JsonNode?)pair.Value[0] : new JsonArray([.. pair.Value.Select(value => (JsonNode?)value)]))));
    }

    // A signed address: whoever sends our credentials there gives them away.
    private async Task TakePartAsync(HttpContext http, string path)
    {
        if (http.Request.Headers.ContainsKey("Authorization") || http.Request.Headers["x-part"] != "signed")
        {
            http.Response.StatusCode = StatusCodes.Status400BadRequest;
            return;
        }
        using var body = new MemoryStream();
        await http.Request.Body.CopyToAsync(body);
        lock (_lock)
            State.Parts[path] = body.ToArray();
        http.Response.Headers.ETag = $"\"{path.GetHashCode(StringComparison.Ordinal):x}\"";
    }
}

internal sealed class FakeMlflowException(int status, string code, string message) : Exception(message)
{
    public int Status => status;

    public string Code => code;
}
