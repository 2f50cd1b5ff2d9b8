using Microsoft.Data.Sqlite;
using Npgsql;
using Qbb.Hosting.Startup;
using Qbb.Registry.Tests.Service;
using Qbb.Tests;

namespace Qbb.Registry.Tests.Data;

/// <summary>The lock of the migrations: a dead process's is taken over, a living one's is waited for, and not for ever.</summary>
public sealed class MigrationLockTests(PostgresServer postgres) : IClassFixture<PostgresServer>, IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_lock_that_a_killed_process_left_in_the_file_is_taken_over(bool isFirstStart)
    {
        if (!isFirstStart)
        {
            await using var before = await RegistryServer.StartAsync(_folder);
            await before.UploadAsync("tiny");
        }
        await using (var killed = new SqliteConnection($"Data Source={_folder.File("registry.db")};Pooling=False"))
        {
            await killed.OpenAsync();
            await using var command = killed.CreateCommand();
            command.CommandText = """
                CREATE TABLE IF NOT EXISTS "__EFMigrationsLock" ("Id" INTEGER NOT NULL CONSTRAINT "PK___EFMigrationsLock" PRIMARY KEY, "Timestamp" TEXT NOT NULL);
                INSERT INTO "__EFMigrationsLock" VALUES (1, '2026-01-01 00:00:00+00:00');
                """;
            await command.ExecuteNonQueryAsync();
        }
        await using var server = await RegistryServer.StartAsync(_folder).WaitAsync(TimeSpan.FromMinutes(2));
        (await server.Api.ListModelsAsync()).Items.Count.ShouldBe(isFirstStart ? 0 : 1);
    }

    [Fact]
    public async Task A_migration_of_another_process_is_waited_for_and_then_given_up_with_the_reason()
    {
        var database = postgres.NewDatabase();
        string[] settings = ["--Database:Provider=postgres", $"--Database:ConnectionString={database}", "--Startup:WaitSeconds=1"];
        await (await RegistryServer.StartAsync(_folder, null, settings)).DisposeAsync();
        await using var other = new NpgsqlConnection(database);
        await other.OpenAsync();
        await using (var held = await other.BeginTransactionAsync())
        {
            await using var command = new NpgsqlCommand("""LOCK TABLE "__EFMigrationsHistory" IN ACCESS EXCLUSIVE MODE""", other, held);
            await command.ExecuteNonQueryAsync();
            var error = await Should.ThrowAsync<StartupException>(() => RegistryServer.StartAsync(_folder, null, settings));
            error.Message.ShouldContain("another process has been migrating the database for 1 s (Startup:WaitSeconds)");
        }
        await (await RegistryServer.StartAsync(_folder, null, settings)).DisposeAsync();
    }

    public void Dispose() => _folder.Dispose();
}
