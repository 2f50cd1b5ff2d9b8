using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using Qbb.Cli.Registry;
using Qbb.Models;

namespace Qbb.Bench.Figures;

/// <summary><c>qbb up</c> or <c>qbb serve</c> as a process of its own, whose memory can be looked at.</summary>
internal sealed class ServerProcess : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(40);
    private readonly Process _process;

    /// <param name="arguments">The command and what it takes; a free port and JSON are requested besides.</param>
    /// <exception cref="InvalidInputException">It does not start; the message is its own.</exception>
    public ServerProcess(params IEnumerable<string> arguments)
    {
        // dotnet where that runs this program, as on a machine whose PATH lacks it.
        var dotnet = Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet" ? Environment.ProcessPath! : "dotnet";
        var start = new ProcessStartInfo(dotnet) { RedirectStandardOutput = true, RedirectStandardError = true };
        start.ArgumentList.Add(typeof(Uploading).Assembly.Location);
        foreach (var argument in (string[])[.. arguments, "--port", "0", "--json"])
            start.ArgumentList.Add(argument);
        _process = Process.Start(start)!;
        var said = _process.StandardError.ReadToEndAsync();
        Address = _process.StandardOutput.ReadLine() is { } line
            ? new Uri(JsonNode.Parse(line)!["url"]! + "/")
            : throw new InvalidInputException($"the server does not start: {said.Result.Trim()}");
    }

    public Uri Address { get; }

    /// <summary>Bytes that it holds now.</summary>
    public long Memory => Read("VmRSS");

    /// <summary>The most bytes that it held since <see cref="ResetPeak"/>.</summary>
    public long PeakMemory => Read("VmHWM");

    /// <summary>Forgets the peak.</summary>
    public void ResetPeak() => File.WriteAllText($"/proc/{_process.Id}/clear_refs", "5");

    public void Dispose()
    {
        using (var kill = Process.Start("kill", ["-TERM", _process.Id.ToString(CultureInfo.InvariantCulture)]))
            kill.WaitForExit();
        if (!_process.WaitForExit(s_patience))
            _process.Kill();
        _process.Dispose();
    }

    private long Read(string name)
    {
        var line = File.ReadLines($"/proc/{_process.Id}/status").First(line => line.StartsWith(name + ":", StringComparison.Ordinal));
        return long.Parse(line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) << 10;
    }
}
