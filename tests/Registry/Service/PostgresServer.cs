using System.Diagnostics;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Npgsql;
using Qbb.Registry.Data;
using Qbb.Tests;

namespace Qbb.Registry.Tests.Service;

/// <summary>A PostgreSQL server of the test's own, on a free port of this machine, in a temporary folder.</summary>
public sealed class PostgresServer : IAsyncLifetime
{
    private const string User = "postgres";
    private const string Template = "migrated";
    private readonly TemporaryFolder _folder = new();
    private readonly int _port = FreePort.Next();
    private readonly Lazy<Task> _template;
    private string? _programs;

    public PostgresServer() => _template = new Lazy<Task>(() => Task.Run(MigrateAsync));

    private string Data => _folder.File("data");

    public async ValueTask InitializeAsync()
    {
        _programs = Directory.Exists("/usr/lib/postgresql")
            ? Directory.EnumerateDirectories("/usr/lib/postgresql").Select(version => Path.Combine(version, "bin")).LastOrDefault(Directory.Exists)
            : null;
        if (_programs is null)
            return;
        if (Environment.UserName == "root")
            Process.Start("chown", [User, _folder.Path]).WaitForExit();
        await RunAsync("initdb", "-A", "trust", "-D", Data, "--no-sync");
        await StartAsync();
    }

    /// <summary>A connection string of a database that nobody has used; skips the test where PostgreSQL is not installed.</summary>
    public string NewDatabase()
    {
        Assert.SkipWhen(_programs is null, "needs PostgreSQL: apt-get install -y --no-install-recommends postgresql");
        return ConnectionTo($"qbb_{Guid.NewGuid():N}").ConnectionString;
    }

    /// <summary>The same of one as the registry's first start leaves it, which takes less time than all its migrations.</summary>
    public string MigratedDatabase()
    {
        var connection = NewDatabase();
        _template.Value.GetAwaiter().GetResult();
        // Not of a pool: its connections are of no use after a crash that a test made.
        var main = ConnectionTo("postgres");
        main.Pooling = false;
        using var server = new NpgsqlConnection(main.ConnectionString);
        server.Open();
        using var command = new NpgsqlCommand($"CREATE DATABASE {new NpgsqlConnectionStringBuilder(connection).Database} TEMPLATE {Template}", server);
        command.ExecuteNonQuery();
        return connection;
    }

    private async Task MigrateAsync()
    {
        // A template that somebody is connected to cannot be copied.
        var connection = ConnectionTo(Template);
        connection.Pooling = false;
        await using var context = new PostgresRegistryContext(new DbContextOptionsBuilder<PostgresRegistryContext>().UseNpgsql(connection.ConnectionString)
            .ConfigureWarnings(warnings => warnings.Ignore(RelationalEventId.PendingModelChangesWarning)).Options);
        await context.MigrateAsync(TimeSpan.FromMinutes(1), CancellationToken.None);
    }

    private NpgsqlConnectionStringBuilder ConnectionTo(string database) => new() { Host = "127.0.0.1", Port = _port, Username = User, Database = database };

    // A crash of the server alone, which is all that a test can make, loses nothing that the system has: it waits for no disk.
    public Task StartAsync() => RunAsync(
        "pg_ctl", "-D", Data, "-w", "-l", _folder.File("log"), "-o", $"-c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off -p {_port}", "start");

    /// <summary>Stops as a power cut would: what was not committed is lost.</summary>
    public Task CrashAsync() => RunAsync("pg_ctl", "-D", Data, "-w", "-m", "immediate", "stop");

    public async ValueTask DisposeAsync()
    {
        if (_programs is not null)
        {
            NpgsqlConnection.ClearAllPools();
            await CrashAsync();
        }
        _folder.Dispose();
    }

    // The server refuses to run as root.
    private async Task RunAsync(string program, params string[] arguments)
    {
        var path = Path.Combine(_programs!, program);
        var start = Environment.UserName == "root"
            ? new ProcessStartInfo("setpriv", ["--reuid", User, "--regid", User, "--clear-groups", path, .. arguments])
            : new ProcessStartInfo(path, arguments);
        start.WorkingDirectory = "/";
        start.RedirectStandardOutput = program != "pg_ctl";
        using var process = Process.Start(start) ?? throw new InvalidOperationException($"{program} does not start");
        if (start.RedirectStandardOutput)
            await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        process.ExitCode.ShouldBe(0, $"{program} {string.Join(' ', arguments)}");
    }
}
