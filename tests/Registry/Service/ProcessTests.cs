using System.Diagnostics;
using System.Net.Http.Json;
using System.Text.Json;
using System.Text.RegularExpressions;
using Npgsql;
using Qbb.Registry.Data;
using Qbb.Tests;

namespace Qbb.Registry.Tests.Service;

/// <summary>The registry as it is shipped: a process of its own, without a tensor library.</summary>
public sealed class ProcessTests : IDisposable
{
    // Qbb.Client is the package that Qbb.Api is packed as: which name stands in deps.json depends on the restore.
    private static readonly string[] s_allowed = ["Qbb.Api", "Qbb.Client", "Qbb.Artifacts", "Qbb.Checkpoints", "Qbb.Contracts", "Qbb.Hosting", "Qbb.Recipes"];

    private readonly TemporaryFolder _folder = new();

    [Fact]
    public void The_registry_ships_no_tensor_library()
    {
        using var file = JsonDocument.Parse(File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "qbb-registry.deps.json")));
        var target = file.RootElement.GetProperty("runtimeTarget").GetProperty("name").GetString()!;
        var libraries = file.RootElement.GetProperty("targets").GetProperty(target);
        var names = libraries.EnumerateObject().Select(library => library.Name.Split('/')[0]).ToList();

        names.ShouldContain("Qbb.Recipes");
        names.ShouldContain("SourceGear.sqlite3");
        names.Where(name => name.StartsWith("Qbb.", StringComparison.Ordinal)).Except(s_allowed).ShouldBeEmpty();
        libraries.GetRawText().ShouldNotContain("torch", Case.Insensitive);
    }

    [Fact]
    public async Task A_running_registry_has_loaded_no_tensor_library()
    {
        using var process = Process.Start(new ProcessStartInfo("dotnet",
        [
            Path.Combine(AppContext.BaseDirectory, "qbb-registry.dll"), "--Urls=http://127.0.0.1:0", $"--Artifacts:Folder={_folder.File("store")}",
            $"--Database:ConnectionString=Data Source={_folder.File("registry.db")}",
        ])
        { RedirectStandardOutput = true })!;
        try
        {
            using var client = new HttpClient { BaseAddress = await ListeningAsync(process) };
            var policy = new { models = "*", recipes = new[] { new { name = "one", recipe = new { decomposition = new { bases = 2 } } } } };
            (await client.PutAsJsonAsync("/api/policies/p", policy)).EnsureSuccessStatusCode();
            (await client.GetAsync("/policies")).EnsureSuccessStatusCode();

            // The kernel's list of the files that a process has mapped.
            var loaded = File.ReadLines($"/proc/{process.Id}/maps").Where(line => line.Contains('/')).Select(line => Path.GetFileName(line)).ToHashSet();
            loaded.ShouldContain("Qbb.Recipes.dll");
            loaded.ShouldContain("libe_sqlite3.so");
            loaded.Where(name => name.StartsWith("Qbb.", StringComparison.Ordinal)).Except(s_allowed.Select(name => name + ".dll")).ShouldBeEmpty();
            loaded.Where(name => name.Contains("torch", StringComparison.OrdinalIgnoreCase)).ShouldBeEmpty();
        }
        finally
        {
            process.Kill();
            await process.WaitForExitAsync();
        }
    }

    [Fact]
    public async Task Migrate_creates_the_database_and_ends()
    {
        var (code, error) = await MigrateAsync($"--Database:ConnectionString=Data Source={_folder.File("new.db")}");
        code.ShouldBe(0, error);
        File.Exists(_folder.File("new.db")).ShouldBeTrue();
        // No store was given: it needs the database alone. A second run finds nothing to do.
        (code, error) = await MigrateAsync($"--Database:ConnectionString=Data Source={_folder.File("new.db")}");
        code.ShouldBe(0, error);
    }

    [Fact]
    public async Task Migrate_says_what_keeps_it()
    {
        var (code, error) = await MigrateAsync("--Database:Provider=Postgres", "--Database:ConnectionString=Host=127.0.0.1;Port=1;Username=qbb", "--Startup:WaitSeconds=0");
        code.ShouldBe(1);
        error.ShouldStartWith("error: the database at 127.0.0.1:1 is away");
        (code, error) = await MigrateAsync("--Database:Provider=Postgres", "--Database:ConnectionString=Host=127.0.0.1", "--Database:PasswordFile=/nowhere/password");
        (code, error.TrimEnd()).ShouldBe((1, "error: Database:PasswordFile is /nowhere/password, where there is no file"));
    }

    [Fact]
    public void A_password_is_read_from_its_file()
    {
        var options = new DatabaseOptions { Provider = DatabaseProvider.Postgres, ConnectionString = "Host=db;Username=qbb", PasswordFile = _folder.Write("password", "a;b\n") };
        new NpgsqlConnectionStringBuilder(options.ReadConnectionString()).Password.ShouldBe("a;b");
    }

    public void Dispose() => _folder.Dispose();

    private static async Task<(int Code, string Error)> MigrateAsync(params string[] settings)
    {
        using var process = Process.Start(new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "qbb-registry.dll"), "migrate", .. settings])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        var output = process.StandardOutput.ReadToEndAsync();
        var error = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        await output;
        return (process.ExitCode, error);
    }

    private static async Task<Uri> ListeningAsync(Process process)
    {
        while (await process.StandardOutput.ReadLineAsync() is { } line)
        {
            if (Regex.Match(line, "Now listening on: (http://[^ ]+)") is { Success: true } match)
                return new Uri(match.Groups[1].Value);
        }
        throw new InvalidOperationException("the registry ended before it listened");
    }
}
