using System.CommandLine;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Qbb.Artifacts.Oci;
using Qbb.Checkpoints;

namespace Qbb.Cli.Registry;

/// <summary>Moves models between OCI registries, a qbb registry and folders.</summary>
internal static class OciTransfers
{
    public static Option<bool> PlainHttp() => new("--plain-http") { Description = "Speak to an OCI registry of another machine without TLS." };

    /// <summary>Sends a folder, or a GGUF file.</summary>
    public static async Task<JsonObject> PushFolderAsync(string model, string name, OciReference target, bool plainHttp, Action<double, double, string> report, CancellationToken cancel)
    {
        var files = Uploading.Describe(model, quantize: false, cancel);
        var paths = files.ToDictionary(file => file.Entry.Name, file => file.Path);
        return await PushAsync(
            new PackedModel(name, null, null, null), files.Select(file => file.Entry), target, plainHttp,
            file => Task.FromResult<Stream>(new FileStream(paths[file.Name], FileMode.Open, FileAccess.Read, FileShare.Read, 0, FileOptions.SequentialScan)), report, cancel);
    }

    /// <summary>Sends a version of a qbb registry, a file at a time through this process.</summary>
    public static async Task<JsonObject> PushVersionAsync(
        IRegistryApi registry, VersionView version, OciReference target, bool plainHttp, Action<double, double, string> report, CancellationToken cancel)
    {
        var packed = await PushAsync(
            new PackedModel(version.Model, $"{version.Version}", version.CreatedAt, null), version.Files!, target, plainHttp,
            file => registry.GetFileAsync(version.Model, $"{version.Version}", file.Name, null, cancel), report, cancel);
        packed["model"] = version.Model;
        packed["version"] = version.Version;
        return packed;
    }

    /// <summary>Brings a model to a folder, which appears whole or not at all; what an interrupted call left beside it is used.</summary>
    public static async Task<JsonObject> PullAsync(OciReference source, string output, bool force, bool plainHttp, Action<double, double, string> report, CancellationToken cancel)
    {
        using var client = Connect(source, plainHttp);
        var (manifest, files) = await OciTransfer.ResolveAsync(client, source, cancel);
        var target = await Downloading.IntoAsync(output, manifest.Value, force, _ => true, work => OciTransfer.PullAsync(client, files, work, report, cancel));
        return new JsonObject { ["output"] = target, ["source"] = $"{source}", ["digest"] = $"sha256:{manifest}", ["files"] = files.Count };
    }

    private static async Task<JsonObject> PushAsync(
        PackedModel model, IEnumerable<FileEntry> entries, OciReference target, bool plainHttp, Func<PackedFile, Task<Stream>> open, Action<double, double, string> report,
        CancellationToken cancel)
    {
        if (target.Tag.Contains(':'))
            throw new InvalidInputException($"{target} names a digest, which follows from what is pushed", "give a tag");
        var files = entries.Select(file => new PackedFile(file.Name, file.Digest, file.Size)).ToList();
        var total = files.Sum(file => file.Size);
        if (files.Find(file => file.Name == ConfigFile.Name) is { } described)
        {
            await using var stream = await open(described);
            model = model with { Config = await PackedModel.ReadConfigAsync(stream, cancel) };
        }
        using var client = Connect(target, plainHttp);
        var (manifest, sent) = await OciTransfer.PushAsync(client, target.Tag, model, files, open, (done, name) => report(done, total, name), cancel);
        return new JsonObject { ["target"] = $"{target}", ["digest"] = $"sha256:{manifest}", ["files"] = files.Count, ["sent"] = sent };
    }

    private static OciClient Connect(OciReference reference, bool plainHttp) => new(reference, CredentialsFor(reference.Host), plainHttp);

    /// <summary>As docker and podman keep them after login, or of the environment.</summary>
    internal static OciCredentials? CredentialsFor(string host)
    {
        if (Environment.GetEnvironmentVariable("QBB_OCI_USER") is { Length: > 0 } user)
            return new OciCredentials(user, Environment.GetEnvironmentVariable("QBB_OCI_PASSWORD") ?? "");
        string?[] files =
        [
            Environment.GetEnvironmentVariable("REGISTRY_AUTH_FILE"),
            Path.Combine(Environment.GetEnvironmentVariable("DOCKER_CONFIG") ?? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".docker"), "config.json"),
        ];
        return files.OfType<string>().Where(File.Exists).Select(file => CredentialsIn(file, host)).FirstOrDefault(known => known is not null);
    }

    /// <summary>Those of a host in a file of docker or podman.</summary>
    internal static OciCredentials? CredentialsIn(string file, string host)
    {
        try
        {
            return (string?)JsonNode.Parse(File.ReadAllText(file))?["auths"]?[host]?["auth"] is { Length: > 0 } login
                && Encoding.UTF8.GetString(Convert.FromBase64String(login)).Split(':', 2) is [var name, var password] ? new OciCredentials(name, password) : null;
        }
        catch (Exception error) when (error is JsonException or FormatException or InvalidOperationException)
        {
            throw new InvalidInputException($"{file} cannot be read: {error.Message}", "log in again, or set QBB_OCI_USER and QBB_OCI_PASSWORD", error);
        }
    }
}
