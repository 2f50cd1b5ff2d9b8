using System.CommandLine;
using Qbb.Artifacts.Hub;
using Qbb.Checkpoints;
using Qbb.Cli.Hub;
using Qbb.Cli.Terminal;

namespace Qbb.Cli.Registry;

/// <summary>Versions of a registry on this machine, where a command takes MODEL@VERSION for a model: in a cache, a folder for each digest.</summary>
internal static class RegistryModels
{
    /// <summary>A model's path, after it was fetched if it is in a registry or on the hub.</summary>
    /// <param name="model">A path, hf:… or MODEL@VERSION.</param>
    /// <param name="registry">Where MODEL@VERSION is looked for; null where the text names none.</param>
    /// <param name="output">Shows the progress.</param>
    /// <param name="cancel">Stops in the middle of a file; what arrived is kept.</param>
    /// <returns>The path, and the version where it is one of a registry.</returns>
    /// <exception cref="InvalidInputException">There is no such model, or it cannot be fetched.</exception>
    public static async Task<(string Path, VersionView? Version)> LocalAsync(string model, IRegistryApi? registry, Output output, CancellationToken cancel)
    {
        if (registry is null)
            return (await HubModels.LocalAsync(model, output, cancel), null);
        var (name, reference) = ModelReference.ParseVersion(model);
        var version = await registry.VersionAsync(name, reference, cancel);
        if (Directory.Exists(FolderOf(version)))
            return (FolderOf(version), version);
        return (await ProgressBars.RunAsync(output, $"downloading {name} version {version.Version}", report => FetchAsync(registry, version, report, cancel)), version);
    }

    /// <summary>The folder of a version, which appears whole or not at all.</summary>
    /// <param name="registry">Has the version.</param>
    /// <param name="version">Which.</param>
    /// <param name="report">Told of (bytes done, bytes in all, the current file).</param>
    /// <param name="cancel">Stops in the middle of a file; what arrived is kept.</param>
    public static async Task<string> FetchAsync(IRegistryApi registry, VersionView version, Action<double, double, string> report, CancellationToken cancel)
    {
        var folder = FolderOf(version);
        if (!Directory.Exists(folder))
            await Downloading.RunAsync(registry, version, folder, force: false, report, cancel);
        return folder;
    }

    /// <summary>Whether the text names a version in a registry.</summary>
    public static bool IsMeant(string model) => model.Contains('@') && !model.Contains('/') && !Path.Exists(model) && HubReference.Parse(model) is null;

    private static string FolderOf(VersionView version) => Path.Combine(
        FileHashes.CacheFolder ?? throw new InvalidInputException("there is no home for a cache", "set HOME or XDG_CACHE_HOME"), "models", version.Manifest);
}
