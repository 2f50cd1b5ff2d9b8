using Microsoft.EntityFrameworkCore;
using Qbb.Artifacts;
using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Messaging;
using Qbb.Registry.Models;
using Qbb.Registry.Pipelines.Running;

namespace Qbb.Registry.Pipelines;

/// <summary>Where people ask for pipelines. Two who ask for the same at once meet in the database, and one of them looks again.</summary>
internal sealed class PipelineDesk(IServiceScopeFactory scopes, IArtifactStore store, OutboxSignal signal, PipelineFeed feed)
{
    private const int Tries = 3;
    private const int MostName = 64;

    /// <exception cref="RefusedException">Model or version is not there, or the recipe cannot be used.</exception>
    public async Task<Guid> StartAsync(PipelineRequest request, CancellationToken cancellation)
    {
        if (request.Model is null || request.Recipe is null)
            throw RefusedException.Invalid("model and recipe must be given");
        if (request.Name is { Length: > MostName })
            throw RefusedException.Invalid($"name must have at most {MostName} characters");
        var recipe = RecipeIntake.Parse(request.Recipe.ToJsonString());
        return await InTransactionAsync(async services =>
        {
            var finder = services.GetRequiredService<ModelFinder>();
            var model = await finder.ModelAsync(request.Model, cancellation);
            var version = request.Version is { } number
                ? await finder.VersionAsync(request.Model, $"{number}", cancellation)
                : await NewestUploadAsync(services.GetRequiredService<RegistryContext>(), model, cancellation);
            await RecipeIntake.StoreAsync(recipe, store, cancellation);
            return (await services.GetRequiredService<PipelineStarter>().StartAsync(model, version, recipe, request.Name, cancellation)).Id;
        }, cancellation);
    }

    /// <summary>Lets a failed or cancelled pipeline go on.</summary>
    public async Task RetryAsync(Guid id, CancellationToken cancellation)
    {
        await InTransactionAsync(services => services.GetRequiredService<PipelineStarter>().RetryAsync(id, cancellation), cancellation);
        feed.Tell([id]);
    }

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
                return result;
            }
            catch (DbUpdateException error) when (attempt < Tries && context.IsDuplicate(error))
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
