using System.Diagnostics;
using System.Text.Json.Nodes;
using Qbb.Cli.Tests;

namespace Qbb.EndToEnd.Tests.Servers;

/// <summary><c>qbb up</c> on a free port, as a process of its own; it is told to stop when disposed.</summary>
internal sealed class UpProcess : IDisposable
{
    private readonly Process _process;

    /// <param name="data">Its folder.</param>
    /// <param name="more">More of the command line.</param>
    public UpProcess(string data, params string[] more)
    {
        _process = QbbProcess.Start(["up", "--port", "0", "--data", data, "--threads", "1", "--json", .. more]);
        // What it says on stderr must not fill the pipe.
        _process.ErrorDataReceived += (_, _) => { };
        _process.BeginErrorReadLine();
        Url = JsonNode.Parse(_process.StandardOutput.ReadLine()!)!["url"]!.ToString();
    }

    public string Url { get; }

    public int Id => _process.Id;

    public void Dispose()
    {
        using var kill = Process.Start("kill", ["-TERM", $"{_process.Id}"]);
        _process.WaitForExit(30_000).ShouldBeTrue("a stop may take 30 s");
        _process.Dispose();
    }
}
