using System.Diagnostics;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Qbb.Artifacts;
using Qbb.Contracts;
using Qbb.Hosting.Telemetry;
using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Messaging;
using Qbb.Registry.Pipelines.Machine;
using Qbb.Registry.Pipelines.Stages;
using Qbb.Registry.Versions;

namespace Qbb.Registry.Pipelines;

/// <summary>Starts and retries pipelines. Of two concurrent requests for the same one, the database lets one through and the other reads its result.</summary>
internal sealed class PipelineDesk(
    IServiceScopeFactory scopes, IArtifactStore store, OutboxSignal signal, IOptions<PipelineOptions> options, TimeProvider clock)
{
    private static readonly string[] s_tables = ["pipelines"];
    private const int MostName = 64;

    /// <exception cref="RefusedException">Model or version is not there, or the recipe cannot be used.</exception>
    /// <param name="request">What to start.</param>
    /// <param name="key">Keeps the answer, where the request has a key.</param>
    /// <param name="cancellation">Undoes it.</param>
    public async Task<PipelineCreated> StartAsync(PipelineRequest request, IdempotencyKey? key, CancellationToken cancellation)
    {
        if (request.Model is null || request.Recipe is null)
            throw RefusedException.Invalid("model and recipe must be given");
        if (request.Name is { Length: > MostName })
            throw RefusedException.Invalid($"name must have at most {MostName} characters");
        var recipe = RecipeIntake.Parse(request.Recipe.ToJsonString());
        // Looked for twice: a model that is not there leaves no recipe in the store, and no transaction waits for the store.
        await using (var scope = scopes.CreateAsyncScope())
        {
            var (_, version) = await SourceAsync(scope.ServiceProvider, request.Model, request.Version, cancellation);
            recipe = RecipeIntake.For(recipe, version.Shape, version.Bytes, options.Value);
        }
        await RecipeIntake.StoreAsync(recipe, store, cancellation);
        return await InTransactionAsync(async services =>
        {
            var (model, version) = await SourceAsync(services, request.Model, request.Version, cancellation);
            var pipeline = await services.GetRequiredService<PipelineStarter>().StartAsync(model, version, recipe, request.Name, cancellation);
            var created = new PipelineCreated(pipeline.Id);
            key?.Keep(services.GetRequiredService<RegistryContext>(), clock.GetUtcNow(), StatusCodes.Status202Accepted, AddressOf(created.Id), created);
            return created;
        }, cancellation);
    }

    private static async Task<(Model Model, ModelVersion Version)> SourceAsync(IServiceProvider services, string name, int? of, CancellationToken cancellation)
    {
        var finder = services.GetRequiredService<ModelFinder>();
        var model = await finder.ModelAsync(name, cancellation);
        return (model, of is { } number
            ? await finder.VersionAsync(name, $"{number}", cancellation)
            : await NewestUploadAsync(services.GetRequiredService<RegistryContext>(), model, cancellation));
    }

    /// <summary>Lets a failed or cancelled pipeline go on.</summary>
    /// <param name="id">The pipeline.</param>
    /// <param name="key">Keeps the answer, where the request has a key.</param>
    /// <param name="cancellation">Undoes it.</param>
    /// <returns>The pipeline in the transaction that retries it: what the key keeps and every repetition shows.</returns>
    /// <exception cref="RefusedException">The pipeline does not exist.</exception>
    public async Task<PipelineView> RetryAsync(Guid id, IdempotencyKey? key, CancellationToken cancellation)
    {
        while (true)
        {
            Rewind? rewind;
            await using (var scope = scopes.CreateAsyncScope())
                rewind = await scope.ServiceProvider.GetRequiredService<PipelineStarter>().FindRewindAsync(id, cancellation);
            if (rewind is null)
                throw RefusedException.NotFound($"there is no pipeline {id}");
            var retried = await InTransactionAsync(async services =>
            {
                if (!await services.GetRequiredService<PipelineStarter>().RetryAsync(rewind, cancellation))
                    return null;
                var context = services.GetRequiredService<RegistryContext>();
                await context.SaveChangesAsync(cancellation);
                var view = await services.GetRequiredService<PipelineViews>().GetAsync(id, cancellation);
                key?.Keep(context, clock.GetUtcNow(), StatusCodes.Status200OK, null, view);
                return view;
            }, cancellation);
            if (retried is not null)
                return retried;
        }
    }

    public static string AddressOf(Guid pipeline) => $"/api/pipelines/{pipeline}";

    private async Task<T> InTransactionAsync<T>(Func<IServiceProvider, Task<T>> work, CancellationToken cancellation)
    {
        for (var attempt = 1; ; attempt++)
        {
            await using var scope = scopes.CreateAsyncScope();
            var context = scope.ServiceProvider.GetRequiredService<RegistryContext>();
            try
            {
                await using var transaction = await context.Database.BeginTransactionAsync(cancellation);
                var result = await work(scope.ServiceProvider);
                await context.SaveChangesAsync(cancellation);
                await transaction.CommitAsync(cancellation);
                signal.Set();
                scope.ServiceProvider.GetRequiredService<PipelineRunner>().Committed();
                return result;
            }
            catch (DbUpdateException error) when (attempt < RegistryContext.Tries && RegistryContext.IsConflict(error, s_tables))
            {
                // Somebody requested the same at the same moment: the next look finds theirs.
            }
        }
    }

    private static async Task<ModelVersion> NewestUploadAsync(RegistryContext context, Model model, CancellationToken cancellation) =>
        await context.Versions.Where(version => version.ModelId == model.Id && version.DeletedAt == null && version.Kind == VersionKind.Upload)
            .OrderByDescending(version => version.Number).FirstOrDefaultAsync(cancellation)
        ?? throw RefusedException.NotFound($"{model.Name} has no uploaded version");
}

/// <summary>
/// Makes pipelines, and lets failed ones go on, inside the caller's transaction. Where one of the same model and recipe runs, they follow it.
/// </summary>
internal sealed class PipelineStarter(RegistryContext context, PipelineRunner runner, PipelinePlanner planner, IArtifactStore store, TimeProvider clock)
{
    /// <param name="model">The model.</param>
    /// <param name="version">What is quantized.</param>
    /// <param name="recipe">Its parts are in the store.</param>
    /// <param name="name">What people call the recipe.</param>
    /// <param name="cancellation">Stops.</param>
    public async Task<Pipeline> StartAsync(
        Model model, ModelVersion version, PipelineRecipe recipe, string? name, CancellationToken cancellation)
    {
        using var span = TelemetryExtensions.Spans.StartActivity("pipeline start");
        var route = PipelineRoute.Of(recipe);
        var pipeline = new Pipeline
        {
            Id = Guid.CreateVersion7(),
            ModelId = version.ModelId,
            ModelName = model.Name,
            SourceId = version.Id,
            Model = version.Manifest,
            Recipe = recipe.Digest.Value,
            RecipeJson = recipe.ToJson(),
            RecipeName = name,
            Route = route,
            Kind = route.Kinds()[0],
            Forecast = await planner.ForecastAsync(version, recipe, cancellation),
            TraceParent = Activity.Current?.Id,
            CreatedAt = clock.GetUtcNow(),
        };
        span?.SetTag(TelemetryExtensions.PipelineTag, pipeline.Id);
        context.Pipelines.Add(pipeline);
        await context.SaveChangesAsync(cancellation);
        return await BeginAsync(pipeline, new PipelineEvent.Started(), cancellation);
    }

    /// <summary>Lets a failed or cancelled pipeline go on.</summary>
    /// <returns>False where it has changed since the store was looked through.</returns>
    public async Task<bool> RetryAsync(Rewind rewind, CancellationToken cancellation)
    {
        if (await context.LockPipelineAsync(rewind.Pipeline, cancellation) is not { Status: PipelineStatus.Failed or PipelineStatus.Cancelled } pipeline)
            return true;
        if (pipeline.Revision != rewind.Revision)
            return false;
        if (rewind.From is { } from)
        {
            UnitKind[] again = [from, .. pipeline.Route.After(from)];
            await context.Units.Where(unit => unit.PipelineId == pipeline.Id && again.Contains(unit.Kind)).ExecuteDeleteAsync(cancellation);
        }
        await BeginAsync(pipeline, new PipelineEvent.Retried(rewind.From), cancellation);
        return true;
    }

    /// <summary>Looks, outside a transaction, for the first kind of work whose result is gone from the store; null where there is no such pipeline.</summary>
    public async Task<Rewind?> FindRewindAsync(Guid id, CancellationToken cancellation)
    {
        if (await context.Pipelines.AsNoTracking().FirstOrDefaultAsync(row => row.Id == id, cancellation) is not { } pipeline)
            return null;
        var kinds = pipeline.Route.Kinds();
        var results = (await context.Units.AsNoTracking().Where(unit => unit.PipelineId == pipeline.Id && unit.Result != null)
            .Select(unit => new { unit.Kind, unit.Result }).ToListAsync(cancellation)).ToLookup(unit => unit.Kind, unit => unit.Result);
        // Later kinds need what the state keeps, and the current one its own results and those that its commands list.
        UnitKind? first = null;
        foreach (var stage in kinds.Select(UnitStages.Of))
        {
            if (first is null && !await AreThereAsync(stage.KeptIn(pipeline), cancellation))
                first = stage.UnitKind;
        }
        for (UnitKind? kind = first ?? pipeline.Kind; kind is { } known; kind = UnitStages.Of(known).PartsOf(pipeline) is { } source && source != known ? source : null)
        {
            if (kind != first && !await AreThereAsync(results[known], cancellation))
                first = known;
        }
        return new Rewind(id, pipeline.Revision, first);
    }

    private async Task<bool> AreThereAsync(IEnumerable<string?> results, CancellationToken cancellation)
    {
        foreach (var result in results.OfType<string>())
        {
            if (!await ArtifactFolders.KeepAsync(store, Digest.Parse(result), cancellation))
                return false;
        }
        return true;
    }

    private async Task<Pipeline> BeginAsync(Pipeline pipeline, PipelineEvent begin, CancellationToken cancellation)
    {
        var leader = await context.Pipelines.AsNoTracking()
            .Where(other => other.ModelId == pipeline.ModelId && other.Model == pipeline.Model && other.Recipe == pipeline.Recipe && other.Id != pipeline.Id)
            .Where(other => other.Status == PipelineStatus.Running && other.Kind != PublishStage.Kind)
            .Select(other => (Guid?)other.Id).FirstOrDefaultAsync(cancellation);
        // It may have ended since: then this one runs, and finds what was done.
        var follows = leader is { } id && await context.LockPipelineAsync(id, cancellation) is { Status: PipelineStatus.Running };
        return (await runner.ApplyAsync(pipeline.Id, [follows ? new PipelineEvent.Followed(leader!.Value) : begin], cancellation))!;
    }
}

/// <summary>From where a pipeline is to be retried.</summary>
/// <param name="Pipeline">Which.</param>
/// <param name="Revision">Of the row that this follows from.</param>
/// <param name="From">The first kind of work whose result is gone; null where all that is needed is there.</param>
internal sealed record Rewind(Guid Pipeline, int Revision, UnitKind? From);
