using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Qbb.Contracts;
using Qbb.Registry.Data;

namespace Qbb.Registry.Policies;

/// <summary>Files the configured policy at the first start, unless there is one of its name; one that is deleted later stays deleted.</summary>
internal sealed class DefaultPolicySeed(IServiceScopeFactory scopes, IOptions<RegistryOptions> options, TimeProvider clock) : IHostedService
{
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        if (options.Value.DefaultPolicy is not { } wanted)
            return;
        await using var scope = scopes.CreateAsyncScope();
        var context = scope.ServiceProvider.GetRequiredService<RegistryContext>();
        var mark = $"default policy {wanted.Name}";
        if (await context.Set<Mark>().AnyAsync(done => done.Name == mark, cancellationToken))
            return;
        context.Add(new Mark { Name = mark, CreatedAt = clock.GetUtcNow() });
        if (!await context.Policies.AnyAsync(policy => policy.Name == wanted.Name, cancellationToken))
            context.Policies.Add(Make(wanted));
        try
        {
            await context.SaveChangesAsync(cancellationToken);
        }
        catch (DbUpdateException error) when (Transience.IsDuplicate(error, "policies", "marks"))
        {
            // Another registry was quicker.
        }
    }

    private Policy Make(DefaultPolicy wanted) => new()
    {
        Name = wanted.Name,
        Models = wanted.Models,
        Recipes = [.. wanted.Recipes.Select(recipe => new PolicyRecipe(recipe.Key, PipelineRecipe.Parse(recipe.Value).ToJson()))],
        Gate = wanted.Gate,
        UpdatedAt = clock.GetUtcNow(),
    };

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}
