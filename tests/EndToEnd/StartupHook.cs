using System.Diagnostics;
using MassTransit;
using MassTransit.UsageTracking;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

/// <summary>
/// Runs in a service before its Main (DOTNET_STARTUP_HOOKS, which takes this name without a namespace) and sets MassTransit's usage telemetry to
/// report at the stop.
/// </summary>
internal static class StartupHook
{
    /// <summary>A variable that has the tracker put back, which the product removes.</summary>
    public const string PutBack = "QBB_TEST_PUT_TRACKER_BACK";

    /// <summary>What a service says into which this came.</summary>
    public const string Ran = "usage telemetry is set to report at the stop";

    public static void Initialize() => DiagnosticListener.AllListeners.Subscribe(new Listeners());

    // A host names itself here while it is built; WebApplicationFactory of ASP.NET Core's tests takes the same way.
    private static void Change(IHostBuilder host) => host.ConfigureServices(services =>
    {
        services.Configure<UsageTelemetryOptions>(options => options.ReportOnShutdown = true);
        if (Environment.GetEnvironmentVariable(PutBack) is not null)
            services.AddSingleton<IUsageTracker, UsageTracker>();
        Console.Error.WriteLine(Ran);
    });

    private sealed class Listeners : IObserver<DiagnosticListener>
    {
        public void OnNext(DiagnosticListener listener)
        {
            if (listener.Name == "Microsoft.Extensions.Hosting")
                listener.Subscribe(new Events());
        }

        public void OnCompleted()
        {
        }

        public void OnError(Exception error)
        {
        }
    }

    private sealed class Events : IObserver<KeyValuePair<string, object?>>
    {
        public void OnNext(KeyValuePair<string, object?> written)
        {
            if (written is { Key: "HostBuilding", Value: IHostBuilder host })
                Change(host);
        }

        public void OnCompleted()
        {
        }

        public void OnError(Exception error)
        {
        }
    }
}
