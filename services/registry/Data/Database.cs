using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Options;
using Npgsql;
using Qbb.Hosting.Options;
using Qbb.Hosting.Startup;

namespace Qbb.Registry.Data;

internal static class Database
{
    /// <summary>Adds the database that the configuration names.</summary>
    public static IHostApplicationBuilder AddDatabase(this IHostApplicationBuilder builder)
    {
        var services = builder.Services;
        services.AddValidatedOptions<DatabaseOptions>(DatabaseOptions.Section);
        if (builder.Configuration.GetSection(DatabaseOptions.Section).Read<DatabaseOptions>().Provider == DatabaseProvider.Postgres)
            services.AddDbContext<RegistryContext, PostgresRegistryContext>((services, context) => Listen(services, context.UseNpgsql(ConnectionOf(services))));
        else
            services.AddDbContext<RegistryContext, SqliteRegistryContext>((services, context) => Listen(services, context.UseSqlite(SqliteConnectionOf(services))));
        services.AddSingleton<IPreparation, ModelPreparation>();
        services.AddSingleton<IDependency, DatabaseDependency>();
        services.AddHostedService<DatabaseMigration>();
        services.AddHealthChecks().AddCheck<DatabaseHealth>("database");
        return builder;
    }

    private static string ConnectionOf(IServiceProvider services) => services.GetRequiredService<IOptions<DatabaseOptions>>().Value.ReadConnectionString();

    // Features that follow what is saved, such as what is told to MLflow, add theirs. A test compares entities and migrations, which takes a second: not every start.
    private static void Listen(IServiceProvider services, DbContextOptionsBuilder context) => context.AddInterceptors(services.GetServices<ISaveChangesInterceptor>())
        .ConfigureWarnings(warnings => warnings.Ignore(RelationalEventId.PendingModelChangesWarning));

    private static string SqliteConnectionOf(IServiceProvider services)
    {
        var connection = new SqliteConnectionStringBuilder(ConnectionOf(services)) { ForeignKeys = true };
        if (Path.GetDirectoryName(Path.GetFullPath(connection.DataSource)) is { } folder)
            Directory.CreateDirectory(folder);
        return connection.ConnectionString;
    }
}

/// <summary>Makes Entity Framework's model of the rows, a large part of a start, without touching the database.</summary>
internal sealed class ModelPreparation(IServiceScopeFactory scopes) : IPreparation
{
    public void Prepare()
    {
        using var scope = scopes.CreateScope();
        _ = scope.ServiceProvider.GetRequiredService<RegistryContext>().Model;
    }
}

/// <summary>The database at start: a PostgreSQL server must answer; SQLite's file is created if need be.</summary>
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
            // The migration creates it.
        }
    }
}

/// <summary>Brings the database up to date before anything uses it.</summary>
internal sealed class DatabaseMigration(IServiceScopeFactory scopes, IOptions<StartupOptions> options, TimeProvider clock, ILogger<DatabaseMigration> log)
    : IHostedService
{
    private static readonly TimeSpan s_remark = TimeSpan.FromSeconds(5);

    public async Task StartAsync(CancellationToken cancellationToken)
    {
        await using var scope = scopes.CreateAsyncScope();
        var wait = TimeSpan.FromSeconds(options.Value.WaitSeconds);
        var migration = scope.ServiceProvider.GetRequiredService<RegistryContext>().MigrateAsync(wait, cancellationToken);
        if (await Task.WhenAny(migration, Task.Delay(s_remark, clock, cancellationToken)) != migration)
            log.LogWarning("The database is being migrated, here or by another process, for which this one waits {Seconds:0} s", wait.TotalSeconds);
        await migration;
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}

internal sealed class DatabaseHealth(RegistryContext context) : IHealthCheck
{
    public async Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext check, CancellationToken cancellationToken = default)
    {
        try
        {
            await context.Database.ExecuteSqlRawAsync("SELECT 1", cancellationToken);
            return HealthCheckResult.Healthy();
        }
        catch (Exception error) when (error is not OperationCanceledException)
        {
            return HealthCheckResult.Unhealthy("the database does not answer", error);
        }
    }
}
