using System.Diagnostics;
using System.Text;

namespace Qbb.EndToEnd.Tests.Servers;

/// <summary>A service as a process of its own, which a test may stop or kill.</summary>
internal sealed class ServiceProcess : IRunningService
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(120);
    private readonly StringBuilder _log = new();
    private readonly Process _process;
    private readonly string _url;

    /// <param name="program">qbb-registry, qbb-quantizer, …</param>
    /// <param name="port">Where its health is asked.</param>
    /// <param name="settings">As Section:Name=value.</param>
    public ServiceProcess(string program, int port, IEnumerable<string> settings)
        : this(program, port, settings.Append($"Urls=http://127.0.0.1:{port}").Select(setting => "--" + setting), new Dictionary<string, string>())
    {
    }

    /// <param name="program">qbb, qbb-registry, …</param>
    /// <param name="port">Where its health is asked.</param>
    /// <param name="arguments">Its command line.</param>
    /// <param name="environment">Variables beside those of the test.</param>
    public ServiceProcess(string program, int port, IEnumerable<string> arguments, IReadOnlyDictionary<string, string> environment)
    {
        _url = $"http://127.0.0.1:{port}";
        var start = new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, program + ".dll"), .. arguments])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var (name, value) in environment)
            start.Environment[name] = value;
        start.Environment["OMP_NUM_THREADS"] = "1";
        _process = Process.Start(start)!;
        _process.OutputDataReceived += (_, line) => Note(line.Data);
        _process.ErrorDataReceived += (_, line) => Note(line.Data);
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    public string Url => _url;

    public bool HasExited => _process.HasExited;

    /// <summary>Of all its threads.</summary>
    public TimeSpan ProcessorTime
    {
        get
        {
            _process.Refresh();
            return _process.TotalProcessorTime;
        }
    }

    /// <summary>The most that it held in memory at once, bytes.</summary>
    public long PeakMemory
    {
        get
        {
            _process.Refresh();
            return _process.PeakWorkingSet64;
        }
    }

    /// <summary>What it said so far.</summary>
    public string Log
    {
        get
        {
            lock (_log)
                return _log.ToString();
        }
    }

    /// <summary>Waits until it says that it is ready.</summary>
    public async Task ReadyAsync()
    {
        using var http = new HttpClient();
        var watch = Stopwatch.StartNew();
        while (true)
        {
            HasExited.ShouldBeFalse(Log);
            watch.Elapsed.ShouldBeLessThan(s_patience, Log);
            try
            {
                if ((await http.GetAsync($"{_url}/health/ready")).IsSuccessStatusCode)
                    return;
            }
            catch (HttpRequestException)
            {
                // Not yet.
            }
            await Task.Delay(100);
        }
    }

    /// <summary>kill -9.</summary>
    public void Kill()
    {
        _process.Kill();
        _process.WaitForExit();
    }

    /// <summary>Asks it to stop; the exit code and the time that it took.</summary>
    public async Task<(int Code, TimeSpan Time)> StopAsync()
    {
        var watch = Stopwatch.StartNew();
        using var kill = Process.Start("kill", ["-TERM", $"{_process.Id}"]);
        await _process.WaitForExitAsync();
        return (_process.ExitCode, watch.Elapsed);
    }

    /// <summary>Waits for it to end by itself.</summary>
    public async Task<int> ExitAsync()
    {
        await _process.WaitForExitAsync().WaitAsync(s_patience);
        return _process.ExitCode;
    }

    public void Dispose()
    {
        if (!_process.HasExited)
            Kill();
        _process.Dispose();
    }

    private void Note(string? line)
    {
        lock (_log)
            _log.AppendLine(line);
    }
}
