using System.Diagnostics;
using System.Text.Json.Nodes;
using Qbb.Cli.Tests;

namespace Qbb.EndToEnd.Tests.Servers;

/// <summary>qbb up as a process of its own, on a free port.</summary>
internal sealed class UpServer : IDisposable
{
    private readonly Process _process;

    public UpServer(string data, params string[] more)
    {
        _process = QbbProcess.Start(["up", "--data", data, "--threads", "1", "--json", .. more.Contains("--port") ? more : ["--port", "0", .. more]]);
        // What it says on stderr must not fill the pipe.
        _process.ErrorDataReceived += (_, _) => { };
        _process.BeginErrorReadLine();
        Url = JsonNode.Parse(_process.StandardOutput.ReadLine() ?? throw new InvalidOperationException("qbb up did not start"))!["url"]!.ToString();
    }

    public string Url { get; }

    public int Port => new Uri(Url).Port;

    /// <summary>Asks it to stop; a stop may take 30 s.</summary>
    public void Stop()
    {
        using var kill = Process.Start("kill", ["-TERM", $"{_process.Id}"]);
        _process.WaitForExit(40_000).ShouldBeTrue("a stop may take 30 s");
    }

    public void Dispose()
    {
        if (!_process.HasExited)
            _process.Kill(entireProcessTree: true);
        _process.Dispose();
    }
}
