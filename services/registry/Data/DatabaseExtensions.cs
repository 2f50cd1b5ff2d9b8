using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Qbb.Hosting.Options;
using Qbb.Hosting.Startup;

namespace Qbb.Registry.Data;

internal static class DatabaseExtensions
{
    /// <summary>Adds the database that the configuration names.</summary>
    public static IHostApplicationBuilder AddDatabase(this IHostApplicationBuilder builder)
    {
        builder.Services.AddValidatedOptions<DatabaseOptions>(DatabaseOptions.Section);
        if (builder.Configuration.GetSection(DatabaseOptions.Section).Read<DatabaseOptions>().Provider == DatabaseProvider.Postgres)
        {
            builder.Services.AddDbContext<RegistryContext, PostgresRegistryContext>((services, context) =>
                context.UseNpgsql(ConnectionOf(services)));
        }
        else
        {
            builder.Services.AddDbContext<RegistryContext, SqliteRegistryContext>((services, context) =>
                context.UseSqlite(SqliteConnectionOf(services)));
        }
        builder.Services.AddSingleton<IDependency, DatabaseDependency>();
        builder.Services.AddHostedService<DatabaseMigration>();
        builder.Services.AddHealthChecks().AddCheck<DatabaseHealth>("database");
        return builder;
    }

    private static string ConnectionOf(IServiceProvider services) => services.GetRequiredService<IOptions<DatabaseOptions>>().Value.ConnectionString;

    private static string SqliteConnectionOf(IServiceProvider services)
    {
        var connection = new SqliteConnectionStringBuilder(ConnectionOf(services)) { ForeignKeys = true };
        if (Path.GetDirectoryName(Path.GetFullPath(connection.DataSource)) is { } folder)
            Directory.CreateDirectory(folder);
        return connection.ConnectionString;
    }
}
