using System.Diagnostics;

namespace Qbb.Tests;

/// <summary>Debian's docker-registry on a free port of this machine, with its blobs in a temporary folder.</summary>
internal sealed class DockerRegistry : IAsyncDisposable
{
    public const string User = "ci";
    public const string Password = "s3cret";
    private const string Program = "/usr/bin/docker-registry";

    // Bcrypt of the password, at its lowest cost.
    private const string Hash = "$2b$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK";
    private readonly TemporaryFolder _folder = new();
    private readonly int _port = FreePort.Next();
    private Process? _process;

    /// <summary>With its port.</summary>
    public string Host => $"127.0.0.1:{_port}";

    /// <summary>The file of a blob; flipped there it is damaged.</summary>
    public string PathOf(string digest) => _folder.File($"docker/registry/v2/blobs/sha256/{digest[..2]}/{digest}/data");

    /// <summary>Starts it; skips the test where it is not installed.</summary>
    /// <param name="withPassword">Only <see cref="User"/> may do anything.</param>
    public static async Task<DockerRegistry> StartAsync(bool withPassword = false)
    {
        Assert.SkipUnless(File.Exists(Program), "needs docker-registry: apt-get install -y --no-install-recommends docker-registry");
        var registry = new DockerRegistry();
        registry._folder.Write("users", $"{User}:{Hash}\n");
        registry._folder.Write("config.yml", $$"""
            version: 0.1
            log: { level: error, accesslog: { disabled: true } }
            storage: { filesystem: { rootdirectory: "{{registry._folder.Path}}" } }
            http: { addr: "{{registry.Host}}" }
            {{(withPassword ? $"auth: {{ htpasswd: {{ realm: test, path: \"{registry._folder.File("users")}\" }} }}" : "")}}
            """);
        await registry.StartProcessAsync();
        return registry;
    }

    /// <summary>Starts it again after <see cref="Kill"/>, at the same address with the same blobs.</summary>
    public async Task StartProcessAsync()
    {
        _process = Process.Start(new ProcessStartInfo(Program, ["serve", _folder.File("config.yml")]) { RedirectStandardError = true, RedirectStandardOutput = true })!;
        using var client = new HttpClient();
        for (var watch = Stopwatch.StartNew(); ;)
        {
            try
            {
                using var answer = await client.GetAsync($"http://{Host}/v2/");
                return;
            }
            catch (HttpRequestException) when (watch.Elapsed.TotalSeconds < 30 && !_process.HasExited)
            {
                await Task.Delay(50);
            }
        }
    }

    public void Kill()
    {
        _process!.Kill();
        _process.WaitForExit();
        _process.Dispose();
        _process = null;
    }

    public ValueTask DisposeAsync()
    {
        if (_process is not null)
            Kill();
        _folder.Dispose();
        return ValueTask.CompletedTask;
    }
}
