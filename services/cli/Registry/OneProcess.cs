using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Qbb.Cli.Terminal;
using Qbb.Evaluator;
using Qbb.Hosting;
using Qbb.Quantizer;
using Qbb.Registry;
using Qbb.Synthdata;

namespace Qbb.Cli.Registry;

/// <summary>All four services in one process, over the bus in memory.</summary>
internal static class OneProcess
{
    /// <param name="settings">How.</param>
    /// <param name="started">Told of the address once everything is up.</param>
    /// <param name="cancel">Stops everything; what is at hand may finish or is handed back.</param>
    public static async Task RunAsync(UpSettings settings, Action<string> started, CancellationToken cancel)
    {
        await using var app = ServiceHost.Build(settings.ToArguments(), "up", LocalPort.Url(settings.Port), builder =>
        {
            builder.AddRegistry();
            builder.AddQuantizer();
            builder.AddSynthdata();
            builder.AddEvaluator();
        }, app => app.MapRegistry());
        await ServiceHost.StartAsync(app, cancel);
        started(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First());
        using var stop = cancel.Register(app.Lifetime.StopApplication);
        await app.WaitForShutdownAsync(CancellationToken.None);
    }
}
