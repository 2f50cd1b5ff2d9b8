using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Qbb.Cli.Registry;

/// <summary>Looks every few seconds where an alias of a registry points, and has a new version served while the last one ends its requests.</summary>
/// <param name="registry">Stays the caller's.</param>
/// <param name="name">The model.</param>
/// <param name="alias">Its alias.</param>
/// <param name="first">The version that is served already.</param>
/// <param name="serve">Loads a version from its folder and serves it.</param>
/// <param name="clock">When to look.</param>
/// <param name="log">Told of each change, and why a version is not served.</param>
internal sealed class AliasFollower(
    IRegistryApi registry, string name, string alias, VersionView first, Action<VersionView, string> serve, TimeProvider clock, ILogger<AliasFollower> log) : BackgroundService
{
    private static readonly TimeSpan s_interval = TimeSpan.FromSeconds(5);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var (last, refused, said) = (first, "", "");
        while (true)
        {
            await Task.Delay(s_interval, clock, stoppingToken);
            try
            {
                var version = await registry.GetVersionAsync(name, alias, stoppingToken);
                if (version.Manifest != last.Manifest && version.Manifest != refused)
                {
                    log.LogInformation("{Model}@{Alias} is version {Version} now: loading it", name, alias, version.Version);
                    var folder = await RegistryModels.FetchAsync(registry, version, (_, _, _) => { }, stoppingToken);
                    // What cannot be loaded now cannot be loaded in five seconds either.
                    refused = version.Manifest;
                    serve(version, folder);
                    (last, refused) = (version, "");
                    log.LogInformation("{Model} version {Version} is served", name, version.Version);
                }
                said = "";
            }
            catch (Exception error) when (!stoppingToken.IsCancellationRequested)
            {
                if (said != error.Message)
                    log.LogWarning("{Model} is still served in version {Version}: {Reason}", name, last.Version, error.Message);
                said = error.Message;
            }
        }
    }
}
