using System.Net;
using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text.Json;
using MassTransit;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Qbb.Artifacts;
using Qbb.Contracts;
using Qbb.Hosting;
using Qbb.Hosting.Bus;
using Qbb.Registry.Data;
using Qbb.Tests;

namespace Qbb.Registry.Tests.Service;

/// <summary>A registry that listens on a free port, with SQLite, a folder as store and scripted workers on a bus in memory.</summary>
internal sealed class RegistryServer : IAsyncDisposable
{
    /// <summary>A collection that spares nothing.</summary>
    public const string Everything = "deletedDays=0&resultDays=0&graceMinutes=0";

    private readonly WebApplication _app;

    private RegistryServer(WebApplication app)
    {
        _app = app;
        Client = new HttpClient { BaseAddress = new Uri(app.Urls.First()), Timeout = TimeSpan.FromMinutes(2) };
    }

    public HttpClient Client { get; }

    public IServiceProvider Services => _app.Services;

    public IArtifactStore Store => Services.GetRequiredService<IArtifactStore>();

    public WorkerScript Workers => Services.GetRequiredService<WorkerScript>();

    public static async Task<RegistryServer> StartAsync(TemporaryFolder folder, WorkerScript? script = null, params string[] settings)
    {
        string[] args =
        [
            "--Urls=http://127.0.0.1:0", $"--Artifacts:Folder={folder.File("store")}", $"--Database:ConnectionString=Data Source={folder.File("registry.db")}",
            "--Pipelines:BackoffSeconds=0.05", "--Logging:LogLevel:Default=Warning", .. settings,
        ];
        var app = ServiceHost.Build(args, "registry", "http://127.0.0.1:0", builder =>
        {
            builder.Logging.SetMinimumLevel(LogLevel.Warning).AddFilter("Microsoft", LogLevel.Warning).AddFilter("MassTransit", LogLevel.Error);
            builder.AddRegistry();
            builder.Services.AddSingleton(script ?? new WorkerScript());
            builder.AddConsumers("workers", (bus, options) => bus.AddConsumer<ScriptedWorker>(consumer => consumer.ConcurrentMessageLimit = 4)
                .Endpoint(endpoint => endpoint.Name = options.QueueOf("workers")));
        }, app => app.MapRegistry());
        await ServiceHost.StartAsync(app);
        return new RegistryServer(app);
    }

    /// <summary>Uploads files and makes them a version.</summary>
    public async Task<JsonElement> UploadAsync(string model, Dictionary<string, byte[]>? files = null, string? key = null)
    {
        files ??= SmallModel();
        foreach (var bytes in files.Values)
            (await Client.PutAsync($"/api/blobs/{DigestOf(bytes)}", new ByteArrayContent(bytes))).EnsureSuccessStatusCode();
        var response = await PostVersionAsync(model, files, key);
        (await response.Content.ReadAsStringAsync()).ShouldNotBeNull();
        response.EnsureSuccessStatusCode();
        return await response.Content.ReadFromJsonAsync<JsonElement>();
    }

    public Task<HttpResponseMessage> PostVersionAsync(string model, Dictionary<string, byte[]> files, string? key = null)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, $"/api/models/{model}/versions")
        {
            Content = JsonContent.Create(new
            {
                files = files.Select(file => new { name = file.Key, digest = DigestOf(file.Value), size = file.Value.Length }),
            }),
        };
        if (key is not null)
            request.Headers.Add("Idempotency-Key", key);
        return Client.SendAsync(request);
    }

    /// <summary>Waits until a pipeline has ended.</summary>
    public async Task<JsonElement> EndOfAsync(string pipeline, double seconds = 60, int lookMilliseconds = 50)
    {
        var limit = DateTime.UtcNow.AddSeconds(seconds);
        JsonElement shown;
        do
        {
            shown = await Client.GetFromJsonAsync<JsonElement>($"/api/pipelines/{pipeline}");
            if (shown.GetProperty("state").GetString() is "succeeded" or "failed" or "cancelled")
                return shown;
            await Task.Delay(lookMilliseconds);
        }
        while (DateTime.UtcNow < limit);
        throw new TimeoutException($"the pipeline has not ended within {seconds} s: {shown}");
    }

    /// <summary>Collects; the report.</summary>
    public async Task<JsonElement> CollectAsync(string query)
    {
        var response = await Client.PostAsync("/api/collect?" + query, null);
        response.StatusCode.ShouldBe(HttpStatusCode.OK, await response.Content.ReadAsStringAsync());
        return await response.Content.ReadFromJsonAsync<JsonElement>();
    }

    /// <summary>Lets the hours pass that an upload may take.</summary>
    public Task ExpireLeasesAsync() => InDatabaseAsync(async context =>
    {
        foreach (var lease in context.Leases)
            lease.ExpiresAt = DateTimeOffset.UtcNow.AddMinutes(-1);
        return await context.SaveChangesAsync();
    });

    public async Task<T> InDatabaseAsync<T>(Func<RegistryContext, Task<T>> look)
    {
        await using var scope = Services.CreateAsyncScope();
        return await look(scope.ServiceProvider.GetRequiredService<RegistryContext>());
    }

    public static Dictionary<string, byte[]> SmallModel(int seed = 0) => new()
    {
        ["config.json"] = "{}"u8.ToArray(),
        ["model.safetensors"] = [.. Enumerable.Range(0, 10_000).Select(i => (byte)(i * 7 + seed))],
    };

    public static string DigestOf(byte[] bytes) => Convert.ToHexStringLower(SHA256.HashData(bytes));

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await _app.StopAsync();
        await _app.DisposeAsync();
    }
}
