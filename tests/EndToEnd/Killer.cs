using Qbb.EndToEnd.Tests.Servers;
using Qbb.Registry.Tests.Service;
using Qbb.Tests;

namespace Qbb.EndToEnd.Tests;

/// <summary>
/// What a seed decides, when it decides: workers, registry, broker and database are killed and restarted, the ways to broker and database are cut for
/// seconds, and the disk of artifacts and workers fills up. Without ways it only kills.
/// </summary>
internal sealed class Killer(
    int seed, Cluster cluster, RabbitServer broker, PostgresServer database, FaultProxy[] ways, Action<string> tell) : IDisposable
{
    private const int Troubles = 4;
    private static readonly TimeSpan s_look = TimeSpan.FromSeconds(0.5);
    private static readonly string[] s_ways = ["broker", "database"];
    private static readonly Outage[] s_outages = [Outage.Away, Outage.Cut, Outage.Slow];
    private readonly CancellationTokenSource _stop = new();
    private readonly Lock _starting = new();

    /// <summary>Makes trouble a few times, or until it is told to stop.</summary>
    public Task RunAsync() => Task.WhenAll(TroubleAsync(), SuperviseAsync());

    /// <summary>Ends the killing; everything is up again.</summary>
    public async Task StopAsync(Task killing)
    {
        await _stop.CancelAsync();
        await killing;
        await cluster.Registry.ReadyAsync();
    }

    public void Dispose() => _stop.Dispose();

    private async Task TroubleAsync()
    {
        var random = new Random(seed);
        try
        {
            for (var trouble = 0; trouble < Troubles; trouble++)
            {
                await Task.Delay(random.Next(200, ways.Length > 0 ? 3000 : 6000), _stop.Token);
                await TroubleAsync(random);
            }
        }
        catch (OperationCanceledException)
        {
            // The pipeline was quicker.
        }
    }

    private async Task TroubleAsync(Random random)
    {
        var (choice, time) = (random.Next(ways.Length > 0 ? 15 : 10), TimeSpan.FromSeconds(0.5 + 3.5 * random.NextDouble()));
        switch (choice)
        {
            case 0:
                await TellAsync("broker");
                await broker.CrashAsync();
                await broker.StartAsync();
                break;
            case 1:
                await TellAsync("database");
                await database.CrashAsync();
                await database.StartAsync();
                break;
            case 2 or 3:
                await RestartAsync("qbb-registry");
                break;
            case 10 or 11 or 12:
                var (way, outage) = (random.Next(ways.Length), s_outages[random.Next(s_outages.Length)]);
                await TellAsync($"{s_ways[way]} {outage.ToString().ToLowerInvariant()}");
                ways[way].Outage = outage;
                await EndAsync(time, () => ways[way].Outage = Outage.None);
                break;
            case 13 or 14 when cluster.Disk is { } disk:
                await TellAsync("disk full");
                disk.Fill();
                await EndAsync(time, disk.MakeRoom);
                break;
            default:
                await RestartAsync(Cluster.Workers[choice % Cluster.Workers.Length]);
                break;
        }
    }

    /// <summary>Everything in order again after a time, or when the pipeline has ended.</summary>
    private async Task EndAsync(TimeSpan time, Action end)
    {
        try
        {
            await Task.Delay(time, _stop.Token);
        }
        finally
        {
            end();
        }
    }

    private async Task RestartAsync(string service)
    {
        await TellAsync(service);
        lock (_starting)
        {
            cluster[service].Kill();
            cluster.Start(service);
        }
    }

    /// <summary>Starts services again that end by themselves, as systemd and Kubernetes do.</summary>
    private async Task SuperviseAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            foreach (var service in (string[])["qbb-registry", .. Cluster.Workers])
            {
                if (!cluster[service].HasExited)
                    continue;
                await TellAsync($"{service} by itself");
                lock (_starting)
                {
                    if (cluster[service].HasExited)
                        cluster.Start(service);
                }
            }
            await Task.Delay(s_look);
        }
    }

    private async Task TellAsync(string victim) => tell($"{victim} in {(await cluster.StageAsync())?.ToString() ?? "a stage that the registry cannot tell"}");
}
