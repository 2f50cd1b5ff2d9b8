using System.Net;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using MassTransit;
using Microsoft.AspNetCore.Builder;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
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
    // As the first start leaves it, which is quicker to copy than to make by all migrations.
    private static readonly Lazy<Task<byte[]>> s_migrated = new(MigrateAsync);
    private readonly WebApplication _app;

    private RegistryServer(WebApplication app)
    {
        _app = app;
        Client = new HttpClient { BaseAddress = new Uri(app.Urls.First()), Timeout = TimeSpan.FromMinutes(2) };
        Api = RegistryApi.Connect(Client.BaseAddress);
        Once = RegistryApi.Connect(Client.BaseAddress, RetryOptions.None);
    }

    /// <summary>The raw wire.</summary>
    public HttpClient Client { get; }

    /// <summary>As users connect: a registry that is busy is asked again.</summary>
    public IRegistryApi Api { get; }

    /// <summary>Without retries, to see that it is busy.</summary>
    public IRegistryApi Once { get; }

    public IServiceProvider Services => _app.Services;

    public IArtifactStore Store => Services.GetRequiredService<IArtifactStore>();

    public WorkerScript Workers => Services.GetRequiredService<WorkerScript>();

    public static async Task<RegistryServer> StartAsync(TemporaryFolder folder, WorkerScript? script = null, params string[] settings)
    {
        string[] args =
        [
            "--Urls=http://127.0.0.1:0", $"--Artifacts:Folder={folder.File("store")}", $"--Database:ConnectionString=Data Source={folder.File("registry.db")}",
            "--Pipelines:BackoffSeconds=0.05", "--Bus:FinishSeconds=0", "--Logging:LogLevel:Default=Warning", .. settings,
        ];
        if (!settings.Any(setting => setting.StartsWith("--Database:", StringComparison.Ordinal)) && !File.Exists(folder.File("registry.db")))
            await MigrateAsync(folder.File("registry.db"));
        var app = ServiceHost.Build(args, "registry", "http://127.0.0.1:0", builder =>
        {
            builder.Logging.SetMinimumLevel(LogLevel.Warning).AddFilter("Microsoft", LogLevel.Warning).AddFilter("MassTransit", LogLevel.Error);
            builder.AddRegistry();
            script ??= new WorkerScript();
            builder.Services.AddSingleton(script);
            if (!args.Contains("--Artifacts:Store=S3"))
                builder.Services.AddSingleton(services => AwayStore.Over(services.GetRequiredService<LocalArtifactStore>(), script));
            builder.AddConsumers("workers", (bus, _) =>
            {
                Add<ScriptedWorker>(bus, WorkQueues.Synthdata);
                Add<ScriptedQuantizer>(bus, WorkQueues.Quantizer);
                Add<ScriptedEvaluator>(bus, WorkQueues.Evaluator);
            });
        }, app => app.MapRegistry());
        await ServiceHost.StartAsync(app);
        return new RegistryServer(app);

        static void Add<T>(IBusRegistrationConfigurator bus, string queue)
            where T : ScriptedWorker => bus.AddConsumer<T>(consumer => consumer.ConcurrentMessageLimit = 4).Endpoint(endpoint =>
            {
                endpoint.Name = queue;
                endpoint.ConfigureConsumeTopology = false;
            });
    }

    /// <summary>Writes a database file as a registry's first start does.</summary>
    public static async Task MigrateAsync(string file) => await File.WriteAllBytesAsync(file, await s_migrated.Value);

    private static async Task<byte[]> MigrateAsync()
    {
        using var folder = new TemporaryFolder();
        var file = folder.File("registry.db");
        await using (var context = new SqliteRegistryContext(new DbContextOptionsBuilder<SqliteRegistryContext>().UseSqlite($"Data Source={file};Pooling=False")
            .ConfigureWarnings(warnings => warnings.Ignore(RelationalEventId.PendingModelChangesWarning)).Options))
        {
            await context.MigrateAsync(TimeSpan.FromMinutes(1), CancellationToken.None);
        }
        return await File.ReadAllBytesAsync(file);
    }

    /// <summary>Uploads files and makes them a version.</summary>
    public async Task<UploadedVersion> UploadAsync(string model, Dictionary<string, byte[]>? files = null, string? key = null)
    {
        files ??= SmallModel();
        foreach (var bytes in files.Values)
            await PutAsync(bytes);
        return await Api.CreateVersionAsync(model, RequestOf(files), key);
    }

    public Task PutAsync(byte[] bytes) => Api.PutBlobAsync(Digest.Of(bytes), new ByteArrayContent(bytes));

    /// <summary>Makes a version of files that may be there; for what only the raw answer shows.</summary>
    public Task<HttpResponseMessage> PostVersionAsync(string model, Dictionary<string, byte[]> files, string? key = null)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, $"/api/models/{model}/versions") { Content = JsonContent.Create(RequestOf(files), options: Wire.Json) };
        if (key is not null)
            request.Headers.Add("Idempotency-Key", key);
        return Client.SendAsync(request);
    }

    /// <summary>Starts a pipeline; its id.</summary>
    public async Task<Guid> StartAsync(string recipe, string model = "tiny", string? name = null) =>
        (await Api.StartPipelineAsync(new PipelineRequest(model, 1, JsonNode.Parse(recipe), name))).Id;

    /// <summary>Waits until a pipeline has ended, over outages of the database.</summary>
    public async Task<PipelineView> EndOfAsync(Guid pipeline, double seconds = 240, int lookMilliseconds = 50)
    {
        var limit = DateTime.UtcNow.AddSeconds(seconds);
        PipelineView? shown = null;
        do
        {
            try
            {
                shown = await Once.GetPipelineAsync(pipeline);
                if (shown.State.HasEnded())
                    return shown;
            }
            catch (RegistryRefusedException busy) when (busy.Status == HttpStatusCode.ServiceUnavailable)
            {
                // It is looked at again sooner than a client would that is told to wait.
            }
            await Task.Delay(lookMilliseconds);
        }
        while (DateTime.UtcNow < limit);
        throw new TimeoutException($"the pipeline has not ended within {seconds} s: {shown}");
    }

    /// <summary>Waits until something holds, which it does soon on any machine that is not overloaded.</summary>
    public static async Task UntilAsync(Func<Task<bool>> holds, double seconds = 240)
    {
        for (var limit = DateTime.UtcNow.AddSeconds(seconds); !await holds();)
        {
            if (DateTime.UtcNow > limit)
                throw new TimeoutException($"it does not hold within {seconds} s");
            await Task.Delay(30);
        }
    }

    /// <summary>A collection that spares nothing.</summary>
    public Task<CollectionReport> CollectAsync(bool dryRun = false) => Api.CollectAsync(dryRun, deletedDays: 0, resultDays: 0, graceMinutes: 0, retryDays: 0);

    /// <summary>What the registry says to a request that it refuses.</summary>
    public static async Task<RegistryRefusedException> RefusedAsync(HttpStatusCode status, Func<Task> request)
    {
        var refused = await request.ShouldThrowAsync<RegistryRefusedException>();
        refused.Status.ShouldBe(status, refused.Message);
        return refused;
    }

    /// <summary>Lets the hours pass that an upload may take.</summary>
    public Task ExpireLeasesAsync() => InDatabaseAsync(async context =>
    {
        foreach (var lease in context.Leases)
            lease.ExpiresAt = DateTimeOffset.UtcNow.AddMinutes(-1);
        return await context.SaveChangesAsync();
    });

    /// <summary>Looks into the database, or writes; again where the registry is writing.</summary>
    public async Task<T> InDatabaseAsync<T>(Func<RegistryContext, Task<T>> look)
    {
        for (var tries = 1; ; tries++)
        {
            await using var scope = Services.CreateAsyncScope();
            try
            {
                return await look(scope.ServiceProvider.GetRequiredService<RegistryContext>());
            }
            catch (Exception error) when (tries < 20 && Transience.IsTransient(error))
            {
                await Task.Delay(20);
            }
        }
    }

    public static Dictionary<string, byte[]> SmallModel(int seed = 0) => new()
    {
        ["config.json"] = "{}"u8.ToArray(),
        ["model.safetensors"] = [.. Enumerable.Range(0, 10_000).Select(i => (byte)(i * 7 + seed))],
    };

    public static VersionRequest RequestOf(Dictionary<string, byte[]> files) =>
        new([.. files.Select(file => new FileEntry(file.Key, Digest.Of(file.Value), file.Value.Length))]);

    public async ValueTask DisposeAsync()
    {
        Api.Dispose();
        Once.Dispose();
        Client.Dispose();
        await _app.StopAsync();
        await _app.DisposeAsync();
    }
}
