using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Npgsql;
using Qbb.Hosting.Startup;

namespace Qbb.Registry.Data;

/// <summary>The database: a PostgreSQL server has to be there; SQLite's file is made if need be.</summary>
internal sealed class DatabaseDependency(IServiceScopeFactory scopes, IOptions<DatabaseOptions> options) : IDependency
{
    public string Name
    {
        get
        {
            if (options.Value.Provider == DatabaseProvider.Sqlite)
                return "the database";
            var connection = new NpgsqlConnectionStringBuilder(options.Value.ConnectionString);
            return $"the database at {connection.Host}:{connection.Port}";
        }
    }

    public async Task ProbeAsync(CancellationToken cancellation)
    {
        await using var scope = scopes.CreateAsyncScope();
        var database = scope.ServiceProvider.GetRequiredService<RegistryContext>().Database;
        try
        {
            await database.OpenConnectionAsync(cancellation);
        }
        catch (PostgresException error) when (error.SqlState == PostgresErrorCodes.InvalidCatalogName)
        {
            // The migration makes it.
        }
    }
}
