using System.Net;
using Qbb.Artifacts.Hub;
using Qbb.Checkpoints;
using Qbb.Cli.Terminal;
using Qbb.Models;

namespace Qbb.Cli.Hub;

/// <summary>
/// Models of the hub on this machine, in the cache of Hugging Face's own tools: blobs by hash, a folder of links per commit, a file per branch
/// with its commit. Only the files that a model needs are fetched.
/// </summary>
internal sealed class HubModels(HubSettings settings, HubClient client, Action<string> warn)
{
    /// <summary>A model's path: the text itself, or where the model that hf:… names lies after it was fetched.</summary>
    /// <exception cref="InvalidInputException">There is no such model, or it cannot be fetched.</exception>
    public static string Local(string model, Output output, CancellationToken cancel) => HubReference.Parse(model) is null ? model
        : LocalAsync(model, output, cancel).GetAwaiter().GetResult();

    /// <inheritdoc cref="Local"/>
    public static async Task<string> LocalAsync(string model, Output output, CancellationToken cancel)
    {
        if (HubReference.Parse(model) is not { } reference)
            return model;
        var settings = HubSettings.FromEnvironment();
        using var handler = new SocketsHttpHandler { ConnectTimeout = TimeSpan.FromSeconds(20), AutomaticDecompression = DecompressionMethods.None };
        using var client = new HubClient(settings, handler, TimeProvider.System);
        var models = new HubModels(settings, client, output.Warning);
        return await ProgressBars.RunAsync(output, $"fetching {reference.Repository}", report => models.FetchAsync(reference, report, cancel));
    }

    /// <summary>Fetches what the cache lacks.</summary>
    /// <returns>The commit's folder, or the GGUF file in it.</returns>
    /// <exception cref="InvalidInputException">There is no such model, or it cannot be fetched.</exception>
    public async Task<string> FetchAsync(HubReference reference, Action<double, double, string> report, CancellationToken cancel)
    {
        var cache = new RepositoryCache(settings.CacheFolder, reference.Repository);
        if (settings.IsOffline)
            return Cached(cache, reference) ?? throw new InvalidInputException($"{reference} is not in {settings.CacheFolder}, and HF_HUB_OFFLINE is set", "unset it and run the command once online");
        HubRevision revision;
        try
        {
            revision = await client.GetRevisionAsync(reference, cancel);
        }
        catch (HubAwayException away) when (Cached(cache, reference) is { } cached)
        {
            warn($"{away.Message.Split(": run the same")[0]}; the cached {Path.GetFileName(RepositoryCache.CommitOf(cached))} is used");
            return cached;
        }
        var files = Choose(reference, revision.Files);
        if (files.FirstOrDefault(file => file.Name == SafetensorsFolder.IndexName) is { } index)
        {
            await FetchAsync(cache, reference, revision.Commit, [index], report, cancel);
            var shards = ShardIndex.Read(cache.Link(revision.Commit, index)).Values.ToHashSet(StringComparer.Ordinal);
            var known = revision.Files.Where(file => shards.Contains(file.Name)).ToList();
            if (known.Count < shards.Count)
                throw new InvalidInputException($"{reference} lacks {shards.First(shard => known.All(file => file.Name != shard))}, which its index names", "choose another revision");
            files = [.. files, .. known];
        }
        await FetchAsync(cache, reference, revision.Commit, files, report, cancel);
        var paths = files.Select(file => cache.Link(revision.Commit, file)).ToList();
        cache.Remember(reference.Revision, revision.Commit);
        return files[0].Name == ConfigFile.Name ? cache.Snapshot(revision.Commit) : paths[0];
    }

    private async Task FetchAsync(RepositoryCache cache, HubReference reference, string commit, IReadOnlyList<HubFile> files, Action<double, double, string> report, CancellationToken cancel)
    {
        var missing = files.Where(file => !cache.Has(file)).DistinctBy(file => file.Hash).ToList();
        var (total, before) = (missing.Sum(file => file.Bytes), 0L);
        cache.RequireRoom(total - missing.Sum(cache.Begun), reference);
        foreach (var file in missing)
        {
            var done = before;
            using (await cache.LockAsync(file, cancel))
            {
                // Another process may have fetched it meanwhile.
                if (!cache.Has(file))
                {
                    await client.FetchAsync(reference, commit, file, cache.Incomplete(file), bytes => report(done + bytes, total, file.Name), cancel);
                    cache.Complete(file);
                }
            }
            before += file.Bytes;
        }
    }

    /// <summary>The files that a model needs, without the shards that an index names; the first is the path to give, or the configuration.</summary>
    private static List<HubFile> Choose(HubReference reference, IReadOnlyList<HubFile> files)
    {
        var byName = files.ToDictionary(file => file.Name, StringComparer.Ordinal);
        if (reference.File is { } asked)
            return byName.ContainsKey(asked) ? Pieces(asked) : throw new InvalidInputException($"{reference.Repository} has no file {asked}", Choice());
        string? weights = byName.ContainsKey(SafetensorsFolder.SingleName) ? SafetensorsFolder.SingleName
            : byName.ContainsKey(SafetensorsFolder.IndexName) ? SafetensorsFolder.IndexName : null;
        if (weights is not null && byName.TryGetValue(ConfigFile.Name, out var config))
            return [config, byName[weights], .. files.Where(file => ModelSideFiles.IsSideFile(file.Name))];
        var models = Models();
        if (models.Count == 1)
            return Pieces(models[0]);
        throw models.Count > 1 ? new InvalidInputException($"{reference.Repository} has {models.Count} GGUF files", Choice())
            : files.Any(file => file.Name.EndsWith(".bin", StringComparison.Ordinal))
                ? new InvalidInputException($"{reference.Repository} has its weights as Python pickles, which can run any code when they are loaded", "choose a revision or a copy in safetensors")
                : new InvalidInputException($"{reference.Repository} is not a language model in safetensors or GGUF: it lacks {ConfigFile.Name} and {SafetensorsFolder.SingleName}", "choose another repository");

        // A model in pieces is named by the first.
        List<string> Models() => [.. byName.Keys.Where(name => name.EndsWith(".gguf", StringComparison.Ordinal) && GgufPieces.PathsOf(name)[0] == name).Order(StringComparer.Ordinal)];
        List<HubFile> Pieces(string name) =>
            [.. GgufPieces.PathsOf(name).Select(part => byName.TryGetValue(part, out var found) ? found : throw new InvalidInputException($"{reference.Repository} lacks {part}", "choose another file"))];
        string Choice() => $"name one: {string.Join(", ", Models().Take(6).Select(name => $"hf:{reference.Repository}/{name}"))}{(Models().Count > 6 ? ", …" : "")}";
    }

    private static string? Cached(RepositoryCache cache, HubReference reference) => cache.Commit(reference.Revision) is not { } commit ? null
        : reference.File is { } file ? File.Exists(Path.Combine(cache.Snapshot(commit), file)) ? Path.Combine(cache.Snapshot(commit), file) : null
        : Directory.Exists(cache.Snapshot(commit)) ? cache.Snapshot(commit) : null;
}

/// <summary>A repository's folder in the cache.</summary>
internal sealed class RepositoryCache(string cache, string repository)
{
    private readonly string _folder = Path.Combine(cache, Named(repository));
    private readonly string _locks = Path.Combine(cache, ".locks", Named(repository));

    public string Snapshot(string commit) => Path.Combine(_folder, "snapshots", commit);

    /// <summary>The commit's folder of a path in it.</summary>
    public static string CommitOf(string path)
    {
        while (Path.GetFileName(Path.GetDirectoryName(path)) is { } parent && parent != "snapshots")
            path = Path.GetDirectoryName(path)!;
        return path;
    }

    public bool Has(HubFile file) => File.Exists(Blob(file));

    /// <summary>Bytes of a file that an earlier run left.</summary>
    public long Begun(HubFile file) => new FileInfo(Incomplete(file)) is { Exists: true } begun ? Math.Min(begun.Length, file.Bytes) : 0;

    public string Incomplete(HubFile file) => Blob(file) + ".incomplete";

    public void Complete(HubFile file) => File.Move(Incomplete(file), Blob(file));

    /// <summary>The name of a file in its commit's folder, a link to the blob.</summary>
    public string Link(string commit, HubFile file)
    {
        var path = Path.Combine(Snapshot(commit), file.Name);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        if (!File.Exists(path))
        {
            File.Delete(path);
            File.CreateSymbolicLink(path, Path.GetRelativePath(Path.GetDirectoryName(path)!, Blob(file)));
        }
        return path;
    }

    /// <summary>The commit of a branch or tag when it was last looked up; a commit's own; null if it is unknown.</summary>
    public string? Commit(string revision) => File.Exists(Ref(revision)) ? File.ReadAllText(Ref(revision)).Trim()
        : Directory.Exists(Snapshot(revision)) ? revision : null;

    public void Remember(string revision, string commit)
    {
        if (revision == commit)
            return;
        Directory.CreateDirectory(Path.GetDirectoryName(Ref(revision))!);
        File.WriteAllText(Ref(revision), commit);
    }

    /// <summary>Waits for the right to write a blob, by the lock files of Hugging Face's own tools.</summary>
    public async Task<IDisposable> LockAsync(HubFile file, CancellationToken cancel)
    {
        Directory.CreateDirectory(_locks);
        Directory.CreateDirectory(Path.GetDirectoryName(Blob(file))!);
        while (true)
        {
            try
            {
                return new FileStream(Path.Combine(_locks, file.Hash + ".lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException) when (!cancel.IsCancellationRequested)
            {
                await Task.Delay(100, cancel);
            }
        }
    }

    /// <exception cref="InvalidInputException">The disk has less.</exception>
    public void RequireRoom(long bytes, HubReference reference)
    {
        Directory.CreateDirectory(_folder);
        var free = new DriveInfo(_folder).AvailableFreeSpace;
        if (bytes > free)
            throw new InvalidInputException($"{reference} needs {Units.Bytes(bytes)}, and the disk of {cache} has {Units.Bytes(free)} left", "free some, or set HF_HUB_CACHE to a folder on another disk");
    }

    private string Blob(HubFile file) => Path.Combine(_folder, "blobs", file.Hash);

    private string Ref(string revision) => Path.Combine(_folder, "refs", revision);

    private static string Named(string repository) => "models--" + repository.Replace("/", "--", StringComparison.Ordinal);
}
