using Microsoft.EntityFrameworkCore;

namespace Qbb.Registry.Data;

/// <summary>Brings the database up to date before anything uses it.</summary>
internal sealed class DatabaseMigration(IServiceScopeFactory scopes) : IHostedService
{
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        await using var scope = scopes.CreateAsyncScope();
        await scope.ServiceProvider.GetRequiredService<RegistryContext>().Database.MigrateAsync(cancellationToken);
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}
