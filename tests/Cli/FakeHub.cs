using System.Collections.Concurrent;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Qbb.Cli.Tests;

/// <summary>
/// The hub's REST API as its documentation and its own client have it, for one repository on a free port of this machine: large files are
/// redirected to another address, which wants no token; small ones are served at once.
/// </summary>
internal sealed class FakeHub : IAsyncDisposable
{
    public const string Commit = "0123456789abcdef0123456789abcdef01234567";

    private readonly IHost _host;

    private FakeHub() => _host = new HostBuilder().ConfigureWebHost(web => web
        .UseKestrel(server => server.Listen(IPAddress.Loopback, 0))
        .ConfigureServices(services => services.AddLogging(logging => logging.SetMinimumLevel(LogLevel.None)))
        .Configure(app => app.Run(AnswerAsync))).Build();

    public string Address { get; private set; } = "";

    /// <summary>OWNER/NAME.</summary>
    public string Repository { get; init; } = "acme/tiny";

    /// <summary>The commit of main.</summary>
    public string Head { get; set; } = Commit;

    /// <summary>The files of every commit.</summary>
    public Dictionary<string, byte[]> Files { get; } = [];

    /// <summary>From this size on files are stored as large ones.</summary>
    public int LargeFrom { get; init; } = 1000;

    public string? Token { get; init; }

    public bool IsGated { get; init; }

    /// <summary>How many bytes of a large file the next answers send before the connection ends.</summary>
    public ConcurrentQueue<int> Cuts { get; } = new();

    /// <summary>The status of the next answers.</summary>
    public ConcurrentQueue<(int Status, string? RetryAfter)> Refusals { get; } = new();

    /// <summary>Method, path and range of every request, in order.</summary>
    public ConcurrentQueue<string> Requests { get; } = new();

    /// <summary>Bytes in the place of a file's.</summary>
    public Dictionary<string, byte[]> Damaged { get; } = [];

    public static async Task<FakeHub> StartAsync(string? token = null, bool isGated = false)
    {
        var hub = new FakeHub { Token = token, IsGated = isGated };
        await hub._host.StartAsync();
        hub.Address = hub._host.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First();
        return hub;
    }

    public async ValueTask DisposeAsync()
    {
        await _host.StopAsync(TimeSpan.FromSeconds(1));
        _host.Dispose();
    }

    public string HashOf(string name) => IsLarge(name) ? Convert.ToHexStringLower(SHA256.HashData(Files[name])) : GitHash(Files[name]);

    private bool IsLarge(string name) => Files[name].Length >= LargeFrom;

    private static string GitHash(byte[] bytes) => Convert.ToHexStringLower(SHA1.HashData([.. Encoding.ASCII.GetBytes($"blob {bytes.Length}\0"), .. bytes]));

    private Task AnswerAsync(HttpContext http)
    {
        var (request, path) = (http.Request, http.Request.Path.Value!.TrimStart('/'));
        Requests.Enqueue($"{path}{(request.Headers.Range is [{ } range] ? $" {range}" : "")}");
        if (Refusals.TryDequeue(out var refusal))
        {
            http.Response.Headers.RetryAfter = refusal.RetryAfter;
            return RefuseAsync(http, refusal.Status, null);
        }
        if (path.StartsWith("cdn/", StringComparison.Ordinal))
            return request.Headers.Authorization.Count > 0 ? RefuseAsync(http, 400, null) : SendAsync(http, path["cdn/".Length..]);
        if (Token is not null && request.Headers.Authorization != $"Bearer {Token}")
            return RefuseAsync(http, IsGated ? 403 : 401, IsGated ? "GatedRepo" : "RepoNotFound");
        var (api, resolve) = ($"api/models/{Repository}/revision/", $"{Repository}/resolve/{Head}/");
        if (path.StartsWith(api, StringComparison.Ordinal))
            return path[api.Length..] is "main" || path[api.Length..] == Head ? http.Response.WriteAsJsonAsync(Describe()) : RefuseAsync(http, 404, "RevisionNotFound");
        if (!path.StartsWith(resolve, StringComparison.Ordinal) || !Files.ContainsKey(path[resolve.Length..]))
            return RefuseAsync(http, path.StartsWith("api/", StringComparison.Ordinal) ? 401 : 404, path.StartsWith("api/", StringComparison.Ordinal) ? "RepoNotFound" : "EntryNotFound");
        if (!IsLarge(path[resolve.Length..]))
            return SendAsync(http, path[resolve.Length..]);
        // Another name of this machine stands for another host.
        http.Response.Redirect($"{Address.Replace("127.0.0.1", "localhost")}/cdn/{path[resolve.Length..]}");
        return Task.CompletedTask;
    }

    private async Task SendAsync(HttpContext http, string name)
    {
        var bytes = Damaged.GetValueOrDefault(name, Files[name]);
        var from = 0;
        if (http.Request.GetTypedHeaders().Range?.Ranges.Single().From is { } offset)
        {
            from = (int)offset;
            http.Response.StatusCode = 206;
            http.Response.Headers.ContentRange = $"bytes {from}-{bytes.Length - 1}/{bytes.Length}";
        }
        http.Response.ContentLength = bytes.Length - from;
        // Less than was announced: the server then ends the connection.
        await http.Response.Body.WriteAsync(bytes.AsMemory(from, IsLarge(name) && Cuts.TryDequeue(out var most) ? Math.Min(most, bytes.Length - from) : bytes.Length - from));
    }

    private static Task RefuseAsync(HttpContext http, int status, string? code)
    {
        http.Response.StatusCode = status;
        if (code is not null)
            http.Response.Headers["X-Error-Code"] = code;
        return Task.CompletedTask;
    }

    private JsonObject Describe() => new()
    {
        ["id"] = Repository,
        ["sha"] = Head,
        ["siblings"] = new JsonArray([.. Files.Select(file =>
        {
            var entry = new JsonObject { ["rfilename"] = file.Key, ["size"] = file.Value.Length, ["blobId"] = GitHash(file.Value) };
            if (IsLarge(file.Key))
                entry["lfs"] = new JsonObject { ["sha256"] = HashOf(file.Key), ["size"] = file.Value.Length, ["pointerSize"] = 130 };
            return (JsonNode)entry;
        })]),
    };
}
