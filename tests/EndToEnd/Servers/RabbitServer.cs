using System.Diagnostics;
using System.Net.Sockets;
using Qbb.Tests;

namespace Qbb.EndToEnd.Tests.Servers;

/// <summary>A RabbitMQ broker of the test's own, on free ports of this machine, in a temporary folder.</summary>
public class RabbitServer : IAsyncLifetime
{
    /// <summary>Names a folder with another Debian whose broker serves all tests, instead of the machine's.</summary>
    private const string Variable = "QBB_RABBITMQ";

    private const string Program = "/usr/lib/rabbitmq/bin/rabbitmq-server";
    private const string User = "rabbitmq";

    // Where another Debian's broker finds the temporary folder.
    private const string Inside = "/home";
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(90);
    private readonly TemporaryFolder _folder = new();
    private readonly int _mapper = FreePort.Next();
    private readonly int _distribution = FreePort.Next();
    private readonly string? _root;

    public RabbitServer()
        : this(Environment.GetEnvironmentVariable(Variable))
    {
    }

    /// <param name="root">A folder with another Debian; null for the machine's own broker.</param>
    protected RabbitServer(string? root) => _root = root;

    /// <summary>Where it listens.</summary>
    public int Port { get; } = FreePort.Next();

    public async ValueTask InitializeAsync()
    {
        if (!IsThere)
            return;
        File.SetUnixFileMode(_folder.Path, (UnixFileMode)0b111_111_111);
        _folder.Write("rabbitmq.conf", $"listeners.tcp.1 = 127.0.0.1:{Port}\nlog.console = false\nlog.file.level = warning\n");
        _folder.Write("enabled_plugins", "[].\n");
        await StartAsync();
    }

    /// <summary>Skips the test where it cannot be started.</summary>
    public void Require() => Assert.SkipUnless(IsThere, Needs);

    /// <summary>Starts it, with the queues of the run before; ready when it returns.</summary>
    public async Task StartAsync()
    {
        using var process = Process.Start(As(Program, "-detached")) ?? throw new InvalidOperationException("RabbitMQ does not start");
        await process.WaitForExitAsync();
        process.ExitCode.ShouldBe(0, "RabbitMQ does not start");
        var watch = Stopwatch.StartNew();
        while (!await ListensAsync())
        {
            watch.Elapsed.ShouldBeLessThan(s_patience, "RabbitMQ does not listen");
            await Task.Delay(200);
        }
    }

    /// <summary>Stops as a power cut would.</summary>
    public async Task CrashAsync()
    {
        using var broker = Process.GetProcessById(int.Parse(File.ReadAllText(PidFile)));
        broker.Kill();
        await broker.WaitForExitAsync();
    }

    public async ValueTask DisposeAsync()
    {
        if (IsThere)
        {
            if (File.Exists(PidFile) && Directory.Exists($"/proc/{File.ReadAllText(PidFile).Trim()}"))
                await CrashAsync();
            using var mapper = Process.Start(As("epmd", "-kill"));
            await mapper!.WaitForExitAsync();
        }
        _folder.Dispose();
    }

    /// <summary>What a machine needs on which it cannot be started.</summary>
    protected virtual string Needs => "needs RabbitMQ: apt-get install -y --no-install-recommends rabbitmq-server";

    private bool IsThere => File.Exists(_root + Program) && (_root is null || Environment.UserName == "root");

    private string PidFile => _folder.File("broker.pid");

    private async Task<bool> ListensAsync()
    {
        try
        {
            using var client = new TcpClient();
            await client.ConnectAsync("127.0.0.1", Port);
            // The port opens before the broker answers: its first answer to a wrong header is its own.
            await client.GetStream().WriteAsync("AMQP\0\0\0\0"u8.ToArray());
            return await client.GetStream().ReadAsync(new byte[8]) > 0;
        }
        catch (Exception error) when (error is SocketException or IOException)
        {
            return false;
        }
    }

    private ProcessStartInfo As(string program, params string[] arguments)
    {
        var start = _root is not null
            // Its view of the file system ends with it, and so do the mounts.
            ? new ProcessStartInfo("unshare",
            [
                "--mount", "--propagation", "private", "sh", "-ec",
                $"""
                root=$0
                mount -t proc proc "$root/proc"
                mount -t tmpfs -o mode=755 tmpfs "$root/dev"
                mknod -m 666 "$root/dev/null" c 1 3
                mknod -m 666 "$root/dev/urandom" c 1 9
                mount --bind "$1" "$root{Inside}"
                shift
                exec chroot --userspec=nobody:nogroup "$root" "$@"
                """,
                _root, _folder.Path, program, .. arguments,
            ])
            : Environment.UserName == "root"
                ? new ProcessStartInfo("setpriv", ["--reuid", User, "--regid", User, "--clear-groups", program, .. arguments])
                : new ProcessStartInfo(program, arguments);
        start.WorkingDirectory = _folder.Path;
        foreach (var (name, value) in new Dictionary<string, string>
        {
            ["HOME"] = Place(""),
            ["RABBITMQ_NODENAME"] = $"test{Port}@localhost",
            ["RABBITMQ_MNESIA_BASE"] = Place("data"),
            ["RABBITMQ_LOG_BASE"] = Place("log"),
            ["RABBITMQ_CONFIG_FILE"] = Place("rabbitmq.conf"),
            ["RABBITMQ_ENABLED_PLUGINS_FILE"] = Place("enabled_plugins"),
            ["RABBITMQ_PID_FILE"] = Place("broker.pid"),
            ["RABBITMQ_DIST_PORT"] = $"{_distribution}",
            ["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"] = "-kernel inet_dist_use_interface {127,0,0,1}",
            ["ERL_EPMD_ADDRESS"] = "127.0.0.1",
            ["ERL_EPMD_PORT"] = $"{_mapper}",
        })
            start.Environment[name] = value;
        return start;
    }

    /// <summary>A file as the broker sees it.</summary>
    private string Place(string name) => _root is null ? _folder.File(name) : Path.Combine(Inside, name);
}

/// <summary>RabbitMQ 4 of Debian 13, where it has been unpacked.</summary>
public sealed class RabbitServer4() : RabbitServer(Folder)
{
    private static string Folder { get; } = Path.Combine(Reference.Root, "tests", "peers", "rabbitmq4", "root");

    protected override string Needs => "needs RabbitMQ 4, which tests/peers/rabbitmq4/unpack puts into a folder, and root, to start it there";
}
