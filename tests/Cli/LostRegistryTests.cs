using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Time.Testing;
using Qbb.Tests;

namespace Qbb.Cli.Tests;

/// <summary>Commands behind a connection that breaks: they retry for two minutes, then name what is kept and the command that resumes.</summary>
[Collection(RegistryVerbTests.Server.Name)]
public sealed class LostRegistryTests(RegistryVerbTests.Server server) : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_push_that_is_lost_names_the_command_that_resumes_it()
    {
        string[] push = ["push", Model("lost", 300_000), "--name", "lost", "--no-quantize", "--json", "--url"];
        using var proxy = new Proxy(server.Url) { MostUp = 100_000, IsLost = true };
        var lost = await RunAsync([.. push, proxy.Url]);
        lost.Code.ShouldBe(1, lost.Error);
        lost.Json["code"]!.GetValue<string>().ShouldBe("registry-lost");
        var resume = lost.Json["remedy"]!.GetValue<string>();
        resume.ShouldBe($"qbb {string.Join(' ', push)} {proxy.Url}");
        lost.Json["message"]!.GetValue<string>().ShouldBe(
            $"the registry at {proxy.Url}/ has not answered for 120 s ({Refused(proxy)}); the registry keeps the files that arrived: {resume}  resumes");
        lost.Error.ShouldContain("the registry does not answer (");

        (await RunAsync([.. push, server.Url])).Json["version"]!.GetValue<int>().ShouldBe(1);
    }

    [Fact]
    public async Task A_pull_over_a_connection_that_breaks_again_and_again_is_whole()
    {
        var model = Model("torn", 500_000);
        (await RunAsync("push", model, "--name", "torn", "--no-quantize", "--url", server.Url)).Code.ShouldBe(0);
        using var proxy = new Proxy(server.Url) { MostDown = 100_000 };
        var result = await RunAsync("pull", "torn@1", "-o", _folder.File("out"), "--url", proxy.Url);
        result.Code.ShouldBe(0, result.Error);
        proxy.Broken.ShouldBeGreaterThan(4);
        File.ReadAllBytes(Path.Combine(_folder.File("out"), "LICENSE")).ShouldBe(File.ReadAllBytes(Path.Combine(model, "LICENSE")));
    }

    [Fact]
    public async Task A_pull_that_is_lost_resumes_where_it_was()
    {
        var model = Model("half", 500_000);
        (await RunAsync("push", model, "--name", "half", "--no-quantize", "--url", server.Url)).Code.ShouldBe(0);
        using (var proxy = new Proxy(server.Url) { MostDown = 300_000, IsLost = true })
        {
            var lost = await RunAsync("pull", "half@1", "-o", _folder.File("out"), "--url", proxy.Url);
            lost.Code.ShouldBe(1, lost.Error);
            lost.Error.ShouldContain($"what arrived is kept beside the output: qbb pull half@1 -o {_folder.File("out")} --url {proxy.Url}  resumes");
        }
        Directory.Exists(_folder.File("out")).ShouldBeFalse();
        using (var proxy = new Proxy(server.Url))
        {
            var resumed = await RunAsync("pull", "half@1", "-o", _folder.File("out"), "--url", proxy.Url);
            resumed.Code.ShouldBe(0, resumed.Error);
            proxy.Down.ShouldBeLessThan(Directory.GetFiles(model).Sum(file => new FileInfo(file).Length) - 100_000, "the part that is there is not sent again");
        }
        File.ReadAllBytes(Path.Combine(_folder.File("out"), "LICENSE")).ShouldBe(File.ReadAllBytes(Path.Combine(model, "LICENSE")));
        Directory.GetFileSystemEntries(_folder.Path, ".*").ShouldBeEmpty();
    }

    [Fact]
    public async Task What_a_lost_pull_left_damaged_is_not_used()
    {
        (await RunAsync("push", Model("bad", 300_000), "--name", "bad", "--no-quantize", "--url", server.Url)).Code.ShouldBe(0);
        using (var proxy = new Proxy(server.Url) { MostDown = 200_000, IsLost = true })
            (await RunAsync("pull", "bad@1", "-o", _folder.File("out"), "--url", proxy.Url)).Code.ShouldBe(1);
        var left = Directory.GetFiles(Directory.GetDirectories(_folder.Path, ".out.*").Single(), "LICENSE").Single();
        using (var file = File.OpenWrite(left))
            file.WriteByte(255);
        var damaged = await RunAsync("pull", "bad@1", "-o", _folder.File("out"), "--url", server.Url);
        (damaged.Code, damaged.Error).ShouldBe((2, "error: LICENSE arrived damaged: its digest is not " + damaged.Error[^76..]));
        (await RunAsync("pull", "bad@1", "-o", _folder.File("out"), "--url", server.Url)).Code.ShouldBe(0);
    }

    /// <summary>A small model with one file of some size.</summary>
    private string Model(string name, int size)
    {
        var folder = Path.Combine(_folder.Path, name);
        Directory.CreateDirectory(folder);
        foreach (var file in Directory.GetFiles(Reference.Path("architectures", "llama-gqa-tied")))
            File.Copy(file, Path.Combine(folder, Path.GetFileName(file)));
        var bytes = new byte[size];
        new Random(name.Length + size).NextBytes(bytes);
        File.WriteAllBytes(Path.Combine(folder, "LICENSE"), bytes);
        return folder;
    }

    /// <summary>Runs a command while its clock goes on, much faster than ours.</summary>
    private static async Task<QbbProcess.Result> RunAsync(params string[] arguments)
    {
        var clock = new FakeTimeProvider();
        var running = Task.Run(() => QbbCommands.RunAsync(clock, arguments));
        while (await Task.WhenAny(running, Task.Delay(1)) != running)
            clock.Advance(TimeSpan.FromSeconds(0.25));
        return await running;
    }

    private static string Refused(Proxy proxy) => $"Connection refused ({new Uri(proxy.Url).Authority})";

    /// <summary>A connection to a server that breaks after some bytes; then there is another one, or nobody takes it.</summary>
    private sealed class Proxy : IDisposable
    {
        private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
        private readonly Uri _server;
        private readonly Task _accepting;
        private long _down;
        private int _broken;

        public Proxy(string server)
        {
            _server = new Uri(server);
            _listener.Start();
            Url = $"http://{_listener.LocalEndpoint}";
            _accepting = AcceptAsync();
        }

        public string Url { get; }

        /// <summary>Bytes to the server, or from it, after which a connection breaks.</summary>
        public long MostUp { get; init; } = long.MaxValue;

        public long MostDown { get; init; } = long.MaxValue;

        /// <summary>The first one that breaks is the last.</summary>
        public bool IsLost { get; init; }

        public long Down => Volatile.Read(ref _down);

        public int Broken => Volatile.Read(ref _broken);

        public void Dispose()
        {
            _listener.Stop();
            _accepting.Wait(TimeSpan.FromSeconds(10));
        }

        private async Task AcceptAsync()
        {
            try
            {
                while (true)
                    _ = ForwardAsync(await _listener.AcceptTcpClientAsync());
            }
            catch (Exception error) when (error is SocketException or ObjectDisposedException or InvalidOperationException)
            {
                // Stopped.
            }
        }

        private async Task ForwardAsync(TcpClient from)
        {
            using (from)
            {
                using var to = new TcpClient();
                await to.ConnectAsync(_server.Host, _server.Port);
                var (up, down) = (CopyAsync(from.GetStream(), to.GetStream(), MostUp, isDown: false), CopyAsync(to.GetStream(), from.GetStream(), MostDown, isDown: true));
                if (await await Task.WhenAny(up, down))
                {
                    Interlocked.Increment(ref _broken);
                    if (IsLost)
                        _listener.Stop();
                    from.Client.LingerState = new LingerOption(true, 0);
                }
            }
        }

        private async Task<bool> CopyAsync(NetworkStream from, NetworkStream to, long most, bool isDown)
        {
            var buffer = new byte[10_000];
            try
            {
                while (await from.ReadAsync(buffer) is var count and > 0)
                {
                    await to.WriteAsync(buffer.AsMemory(0, count));
                    if (isDown)
                        Interlocked.Add(ref _down, count);
                    if ((most -= count) < 0)
                        return true;
                }
            }
            catch (IOException)
            {
                // The other side is gone.
            }
            return false;
        }
    }
}
