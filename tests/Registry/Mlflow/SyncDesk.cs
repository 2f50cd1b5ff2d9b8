using Microsoft.AspNetCore.Builder;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;
using Qbb.Artifacts;
using Qbb.Contracts;
using Qbb.Hosting.Artifacts;
using Qbb.Registry.Data;
using Qbb.Registry.Mlflow;
using Qbb.Registry.Pipelines.Stages;
using Qbb.Registry.Tests.Service;
using Qbb.Tests;

namespace Qbb.Registry.Tests.Mlflow;

/// <summary>The registry's database and its exchange with a fake MLflow, under a clock that the test turns; no bus and no web server.</summary>
internal sealed class SyncDesk : IAsyncDisposable
{
    private const string Recipe = """{"decomposition":{"bases":2,"importance":"full"},"distillation":{"steps":30}}""";
    private readonly TemporaryFolder _folder = new();
    private readonly IHost _host;

    private SyncDesk(FakeMlflow fake, string[] settings)
    {
        Fake = fake;
        var builder = WebApplication.CreateBuilder();
        builder.Configuration.Sources.Clear();
        builder.Configuration.AddCommandLine(
        [
            $"--Database:ConnectionString=Data Source={_folder.File("registry.db")}", $"--Artifacts:Folder={_folder.File("store")}", "--Urls=http://registry.test:8080",
            $"--Mlflow:TrackingUri={fake.Address}", .. settings,
        ]);
        builder.Logging.ClearProviders();
        builder.AddArtifacts();
        builder.AddDatabase();
        builder.AddMlflow();
        builder.Services.AddSingleton<TimeProvider>(Clock);
        _host = builder.Build();
    }

    public FakeMlflow Fake { get; }

    public FakeTimeProvider Clock { get; } = new(new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero));

    public MlflowStatus Status => _host.Services.GetRequiredService<MlflowStatus>();

    public IArtifactStore Store => _host.Services.GetRequiredService<IArtifactStore>();

    private MlflowDispatcher Dispatcher => _host.Services.GetServices<IHostedService>().OfType<MlflowDispatcher>().Single();

    public static async Task<SyncDesk> StartAsync(params string[] settings)
    {
        var desk = new SyncDesk(await FakeMlflow.StartAsync(), settings);
        await RegistryServer.MigrateAsync(desk._folder.File("registry.db"));
        return desk;
    }

    public async Task<T> InDatabaseAsync<T>(Func<RegistryContext, Task<T>> work)
    {
        await using var scope = _host.Services.CreateAsyncScope();
        var context = scope.ServiceProvider.GetRequiredService<RegistryContext>();
        var result = await work(context);
        await context.SaveChangesAsync();
        return result;
    }

    /// <summary>One attempt to send what is pending; how long to wait for the next.</summary>
    public Task<TimeSpan> TryAsync() => Dispatcher.TryAsync(CancellationToken.None);

    /// <summary>Turns the clock from attempt to attempt until nothing is pending.</summary>
    /// <returns>Attempts.</returns>
    public async Task<int> CatchUpAsync(int most = 400)
    {
        for (var attempt = 1; attempt <= most; attempt++)
        {
            Clock.Advance(await TryAsync());
            if (await PendingAsync() == 0)
                return attempt;
        }
        throw new TimeoutException($"{await PendingAsync()} changes are pending after {most} attempts: {Status.Error}");
    }

    public Task<int> PendingAsync() => InDatabaseAsync(context => context.MlflowChanges.CountAsync(change => change.SentAt == null && change.Error == null));

    /// <summary>A pipeline of a model's first version.</summary>
    public Task<Pipeline> AddPipelineAsync(string name = "tiny") => InDatabaseAsync(async context =>
    {
        var now = Clock.GetUtcNow();
        var model = await context.Models.FirstOrDefaultAsync(known => known.Name == name);
        if (model is null)
        {
            context.Models.Add(model = new Model { Id = Guid.NewGuid(), Name = name, CreatedAt = now, LastVersion = 1 });
            context.Versions.Add(Version(model.Id, 1, VersionKind.Upload));
            await context.SaveChangesAsync();
        }
        var source = await context.Versions.FirstAsync(version => version.ModelId == model.Id && version.Number == 1);
        var recipe = PipelineRecipe.Parse(Recipe);
        var pipeline = new Pipeline
        {
            Id = Guid.NewGuid(),
            ModelId = model.Id,
            ModelName = name,
            SourceId = source.Id,
            Model = source.Manifest,
            Recipe = recipe.Digest.Value,
            RecipeJson = recipe.ToJson(),
            RecipeName = "two",
            Route = PipelineRoute.Of(recipe),
            Kind = DecomposeStage.Kind,
            Status = PipelineStatus.Created,
            CreatedAt = now,
        };
        context.Pipelines.Add(pipeline);
        return pipeline;
    });

    /// <summary>Units of the decomposition are done; each has one metric.</summary>
    public async Task WorkAsync(Pipeline pipeline, int from, int count)
    {
        await InDatabaseAsync(context =>
        {
            context.Units.AddRange(Enumerable.Range(from, count).Select(index => new PipelineUnit { PipelineId = pipeline.Id, Kind = DecomposeStage.Kind, Index = index }));
            return Task.FromResult(0);
        });
        await InDatabaseAsync(async context =>
        {
            var units = await context.Units.Where(unit => unit.PipelineId == pipeline.Id && unit.Index >= from && unit.Index < from + count).OrderBy(unit => unit.Index).ToListAsync();
            foreach (var unit in units)
                context.Entry(unit).CurrentValues.SetValues(unit with { Status = UnitStatus.Done, DoneAt = Clock.GetUtcNow(), Report = new UnitReport { RelativeError = 1.0 / (unit.Index + 1) } });
            return 0;
        });
    }

    /// <summary>The pipeline succeeds: its version with metrics, which becomes the champion.</summary>
    public Task<ModelVersion> PublishAsync(Pipeline pipeline) => InDatabaseAsync(async context =>
    {
        var now = Clock.GetUtcNow();
        var model = await context.Models.FirstAsync(known => known.Id == pipeline.ModelId);
        var version = Version(model.Id, ++model.LastVersion, VersionKind.Quantized);
        version.SetMetric(MetricNames.Kl, 0.1);
        context.Versions.Add(version);
        context.Lineages.Add(new VersionLineage { VersionId = version.Id, ParentId = pipeline.SourceId, PipelineId = pipeline.Id, Recipe = pipeline.Recipe, RecipeJson = pipeline.RecipeJson, ToolVersion = "1" });
        await context.SaveChangesAsync();
        if (await context.Aliases.FirstOrDefaultAsync(alias => alias.ModelId == model.Id) is { } champion)
            champion.VersionId = version.Id;
        else
            context.Aliases.Add(new Alias { ModelId = model.Id, Name = Alias.Champion, VersionId = version.Id, UpdatedAt = now });
        var row = await context.Pipelines.FirstAsync(known => known.Id == pipeline.Id);
        context.Entry(row).CurrentValues.SetValues(row with
        {
            Status = PipelineStatus.Succeeded,
            ResultId = version.Id,
            Data = Digest.Of("data").Value,
            Filtered = Digest.Of("filtered").Value,
            Windows = Digest.Of("windows").Value,
            EndedAt = now,
            Times = [new KindTime(DecomposeStage.Kind, 4, 12.5)],
            Revision = row.Revision + 1,
        });
        return version;
    });

    private ModelVersion Version(Guid model, int number, VersionKind kind) => new()
    {
        Id = Guid.NewGuid(),
        ModelId = model,
        Number = number,
        Manifest = Digest.Of($"{model} {number}").Value,
        Kind = kind,
        Bytes = 10,
        CreatedAt = Clock.GetUtcNow(),
    };

    public async ValueTask DisposeAsync()
    {
        await ((IAsyncDisposable)_host).DisposeAsync();
        await Fake.DisposeAsync();
        _folder.Dispose();
    }
}
