using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Qbb.Contracts;
using Qbb.Registry.Data;

namespace Qbb.Registry.Policies;

/// <summary>Files the configured policy at start, unless there is one of its name.</summary>
internal sealed class DefaultPolicySeed(IServiceScopeFactory scopes, IOptions<RegistryOptions> options, TimeProvider clock) : IHostedService
{
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        if (options.Value.DefaultPolicy is not { } wanted)
            return;
        await using var scope = scopes.CreateAsyncScope();
        var context = scope.ServiceProvider.GetRequiredService<RegistryContext>();
        if (await context.Policies.AnyAsync(policy => policy.Name == wanted.Name, cancellationToken))
            return;
        context.Policies.Add(new Policy
        {
            Name = wanted.Name,
            Models = wanted.Models,
            Recipes = [.. wanted.Recipes.Select(recipe => new PolicyRecipe(recipe.Key, PipelineRecipe.Parse(recipe.Value).ToJson()))],
            Gate = wanted.Gate,
            UpdatedAt = clock.GetUtcNow(),
        });
        try
        {
            await context.SaveChangesAsync(cancellationToken);
        }
        catch (DbUpdateException error) when (Transience.IsDuplicate(error, "policies"))
        {
            // Another registry was quicker.
        }
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}
