using Qbb.EndToEnd.Tests.Servers;
using Qbb.Registry.Tests.Service;

namespace Qbb.EndToEnd.Tests;

/// <summary>Kills and restarts processes at times that a seed decides: workers, registry, broker, database.</summary>
internal sealed class Killer(int seed, Cluster cluster, RabbitServer broker, PostgresServer database, Action<string> tell) : IDisposable
{
    private const int Kills = 4;
    private readonly CancellationTokenSource _stop = new();

    /// <summary>Kills a few times, or until it is told to stop.</summary>
    public async Task RunAsync()
    {
        var random = new Random(seed);
        try
        {
            for (var kill = 0; kill < Kills; kill++)
            {
                await Task.Delay(random.Next(200, 6000), _stop.Token);
                await KillAsync(random.Next(10));
            }
        }
        catch (OperationCanceledException)
        {
            // The pipeline was quicker.
        }
    }

    /// <summary>Ends the killing; everything is up again.</summary>
    public async Task StopAsync(Task killing)
    {
        await _stop.CancelAsync();
        await killing;
        await cluster.Registry.ReadyAsync();
    }

    public void Dispose() => _stop.Dispose();

    private async Task KillAsync(int choice)
    {
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
            default:
                await RestartAsync(Cluster.Workers[choice % Cluster.Workers.Length]);
                break;
        }
    }

    private async Task RestartAsync(string service)
    {
        await TellAsync(service);
        cluster[service].Kill();
        cluster.Start(service);
    }

    private async Task TellAsync(string victim) => tell($"{victim} in {(await cluster.StageAsync())?.ToString() ?? "a stage that the registry cannot tell"}");
}
