using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Qbb.Artifacts;
using Qbb.Contracts;
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
        var recipe = RecipeIntake.Parse(request.Recipe.ToJsonString()).WithType(options.Value.Type);
        return await InTransactionAsync(async services =>
        {
            var finder = services.GetRequiredService<ModelFinder>();
            var model = await finder.ModelAsync(request.Model, cancellation);
            var version = request.Version is { } number
                ? await finder.VersionAsync(request.Model, $"{number}", cancellation)
                : await NewestUploadAsync(services.GetRequiredService<RegistryContext>(), model, cancellation);
            await RecipeIntake.StoreAsync(recipe, store, cancellation);
            var pipeline = await services.GetRequiredService<PipelineStarter>().StartAsync(model, version, recipe, request.Name, cancellation);
            var created = new PipelineCreated(pipeline.Id);
            key?.Keep(services.GetRequiredService<RegistryContext>(), clock.GetUtcNow(), StatusCodes.Status202Accepted, AddressOf(created.Id), created);
            return created;
        }, cancellation);
    }

    /// <summary>Lets a failed or cancelled pipeline go on.</summary>
    public Task RetryAsync(Guid id, CancellationToken cancellation) =>
        InTransactionAsync(services => services.GetRequiredService<PipelineStarter>().RetryAsync(id, cancellation), cancellation);

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
                // Somebody asked for the same at the same moment: the next look finds theirs.
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
internal sealed class PipelineStarter(RegistryContext context, PipelineRunner runner, IArtifactStore store, TimeProvider clock)
{
    /// <param name="model">The model.</param>
    /// <param name="version">What is quantized.</param>
    /// <param name="recipe">Its parts are in the store.</param>
    /// <param name="name">What people call the recipe.</param>
    /// <param name="cancellation">Stops.</param>
    public async Task<Pipeline> StartAsync(
        Model model, ModelVersion version, PipelineRecipe recipe, string? name, CancellationToken cancellation)
    {
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
            CreatedAt = clock.GetUtcNow(),
        };
        context.Pipelines.Add(pipeline);
        await context.SaveChangesAsync(cancellation);
        return await BeginAsync(pipeline, () => Task.FromResult<PipelineEvent>(new PipelineEvent.Started()), cancellation);
    }

    /// <summary>Lets a failed or cancelled pipeline go on; others change nothing.</summary>
    public async Task<Pipeline?> RetryAsync(Guid id, CancellationToken cancellation) =>
        await context.LockPipelineAsync(id, cancellation) is { } pipeline
            ? pipeline.Status is PipelineStatus.Failed or PipelineStatus.Cancelled
                ? await BeginAsync(pipeline, async () => new PipelineEvent.Retried(await RewindAsync(pipeline, cancellation)), cancellation)
                : pipeline
            : null;

    /// <summary>Removes the units from the first kind of work on whose result is gone from the store; null where all that is needed is there.</summary>
    private async Task<UnitKind?> RewindAsync(Pipeline pipeline, CancellationToken cancellation)
    {
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
        if (first is { } from)
        {
            UnitKind[] again = [from, .. pipeline.Route.After(from)];
            await context.Units.Where(unit => unit.PipelineId == pipeline.Id && again.Contains(unit.Kind)).ExecuteDeleteAsync(cancellation);
        }
        return first;
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

    private async Task<Pipeline> BeginAsync(Pipeline pipeline, Func<Task<PipelineEvent>> begin, CancellationToken cancellation)
    {
        var leader = await context.Pipelines.AsNoTracking()
            .Where(other => other.ModelId == pipeline.ModelId && other.Model == pipeline.Model && other.Recipe == pipeline.Recipe && other.Id != pipeline.Id)
            .Where(other => other.Status == PipelineStatus.Running && other.Kind != PublishStage.Kind)
            .Select(other => (Guid?)other.Id).FirstOrDefaultAsync(cancellation);
        // It may have ended since: then this one runs, and finds what was done.
        var follows = leader is { } id && await context.LockPipelineAsync(id, cancellation) is { Status: PipelineStatus.Running };
        return (await runner.ApplyAsync(pipeline.Id, [follows ? new PipelineEvent.Followed(leader!.Value) : await begin()], cancellation))!;
    }
}
