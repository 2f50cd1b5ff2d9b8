using Microsoft.EntityFrameworkCore;
using Qbb.Contracts;
using Qbb.Registry.Data;
using Qbb.Registry.Models;
using Qbb.Registry.Pipelines.Machine;

namespace Qbb.Registry.Pipelines.Running;

/// <summary>
/// Makes pipelines, and lets failed ones go on, inside the caller's transaction. Where one of the same model and recipe runs, they follow it.
/// </summary>
internal sealed class PipelineStarter(RegistryContext context, PipelineRunner runner, TimeProvider clock)
{
    /// <param name="model">The model.</param>
    /// <param name="version">What is quantized.</param>
    /// <param name="recipe">Its parts are in the store.</param>
    /// <param name="name">What people call the recipe.</param>
    /// <param name="cancellation">Stops.</param>
    public async Task<Pipeline> StartAsync(
        Model model, ModelVersion version, PipelineRecipe recipe, string? name, CancellationToken cancellation)
    {
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
            Route = PipelineRoute.Of(recipe),
            CreatedAt = clock.GetUtcNow(),
        };
        context.Pipelines.Add(pipeline);
        await context.SaveChangesAsync(cancellation);
        return await BeginAsync(pipeline, new PipelineEvent.Started(), cancellation);
    }

    /// <summary>Lets a failed or cancelled pipeline go on; others change nothing.</summary>
    public async Task<Pipeline?> RetryAsync(Guid id, CancellationToken cancellation) =>
        await context.LockPipelineAsync(id, cancellation) is { } pipeline
            ? pipeline.Status is PipelineStatus.Failed or PipelineStatus.Cancelled
                ? await BeginAsync(pipeline, new PipelineEvent.Retried(), cancellation)
                : pipeline
            : null;

    private async Task<Pipeline> BeginAsync(Pipeline pipeline, PipelineEvent begin, CancellationToken cancellation)
    {
        var leader = await context.Pipelines.AsNoTracking()
            .Where(other => other.ModelId == pipeline.ModelId && other.Model == pipeline.Model && other.Recipe == pipeline.Recipe && other.Id != pipeline.Id)
            .Where(other => other.Status == PipelineStatus.Running && other.Kind != UnitKind.Publish)
            .Select(other => (Guid?)other.Id).FirstOrDefaultAsync(cancellation);
        // It may have ended since: then this one runs, and finds what was done.
        var follows = leader is { } id && await context.LockPipelineAsync(id, cancellation) is { Status: PipelineStatus.Running };
        return (await runner.ApplyAsync(pipeline.Id, [follows ? new PipelineEvent.Followed(leader!.Value) : begin], cancellation))!;
    }
}
