using Qbb.Cli.Registry;

namespace Qbb.EndToEnd.Tests.Servers;

/// <summary>What <c>qbb up</c> runs, inside the test on a free port: it spares a start of seconds where the process is not what is tested.</summary>
internal sealed class UpApp : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(120);
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _run;

    /// <param name="data">Its folder.</param>
    /// <param name="recipe">What runs on every upload.</param>
    /// <param name="settings">As of --set.</param>
    public UpApp(string data, PipelineRecipe recipe, params string[] settings)
    {
        var address = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        Directory.CreateDirectory(data);
        // What is at hand at the end is handed back at once.
        var up = new UpSettings(
            data, Port: 0, Device: null, Threads: 1, new Dictionary<string, PipelineRecipe> { ["recipe"] = recipe },
            ["Logging:LogLevel:Default=None", "Logging:LogLevel:Qbb=None", "Bus:FinishSeconds=0", .. settings]);
        _run = Task.Run(() => OneProcess.RunAsync(up, address.SetResult, _stop.Token));
        Task.WhenAny(address.Task, _run).WaitAsync(s_patience).GetAwaiter().GetResult().GetAwaiter().GetResult();
        Url = address.Task.Result;
    }

    public string Url { get; }

    public void Dispose()
    {
        _stop.Cancel();
        _run.Wait(s_patience).ShouldBeTrue("it does not stop");
        _stop.Dispose();
    }
}
