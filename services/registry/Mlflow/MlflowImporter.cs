using System.Globalization;
using Microsoft.EntityFrameworkCore;
using Qbb.Artifacts;
using Qbb.Hosting.Bus;
using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Mlflow.Client;
using Qbb.Registry.Uploads;

namespace Qbb.Registry.Mlflow;

/// <summary>Takes the files of a registered model's version in MLflow and makes them a version here, which policies quantize as any upload.</summary>
internal sealed class MlflowImporter(IMlflowApi api, MlflowFiles files, IArtifactStore store, BlobLeases leases, Uploader uploader)
{
    // Where MLflow's transformers flavour keeps what belongs beside the weights.
    private const string Components = "components/tokenizer/";
    private static readonly string[] s_tables = ["models", "versions", "pipelines"];

    /// <param name="name">The registered model.</param>
    /// <param name="version">A number, or an alias.</param>
    /// <param name="model">The model's name here.</param>
    /// <param name="quantize">Whether policies apply.</param>
    /// <param name="key">Keeps the answer, where the request has a key.</param>
    /// <param name="cancellation">Stops in the middle of a file.</param>
    /// <exception cref="MlflowException">The server is away, or has no such version.</exception>
    /// <exception cref="RefusedException">Its files cannot be had from MLflow, or are not a model.</exception>
    public async Task<UploadedVersion> ImportAsync(string name, string version, string model, bool quantize, IdempotencyKey? key, CancellationToken cancellation)
    {
        if (ModelName.ProblemOf(model) is { } problem)
            throw RefusedException.Invalid($"{model} cannot be the model's name here ({problem}): choose another");
        var there = (int.TryParse(version, NumberStyles.None, CultureInfo.InvariantCulture, out _)
            ? await api.GetVersionAsync(name, version, cancellation) : await api.GetVersionByAliasAsync(name, version, cancellation)).ModelVersion;
        if (there.Status is not (null or MlflowVersion.Ready))
            throw RefusedException.Conflict($"{name} version {there.Version} is {there.Status} in MLflow: try again when it is {MlflowVersion.Ready}");
        var address = (await api.GetDownloadUriAsync(name, there.Version, cancellation)).ArtifactUri;
        var folder = MlflowFiles.PathOf(address) ?? throw RefusedException.Invalid(
            $"the files of {name} version {there.Version} are at {address}, which MLflow does not serve itself: start it with --serve-artifacts, or push the files from there");
        var chosen = Choose(await files.ListAsync(folder, cancellation));
        if (chosen.Count == 0)
            throw RefusedException.Invalid($"{name} version {there.Version} is not a model: {address} has neither config.json beside .safetensors files nor a .gguf file");
        var entries = new List<FileEntry>();
        foreach (var (file, path) in chosen)
        {
            await using var stream = await files.OpenAsync(folder, path, cancellation);
            var blob = await store.PutAsync(stream, cancellation: cancellation);
            await leases.KeepAsync([blob.Digest], cancellation);
            entries.Add(new FileEntry(file, blob.Digest, blob.Size));
        }
        var tags = new Dictionary<string, string> { ["mlflow.version"] = $"{name}/{there.Version}" };
        if (!string.IsNullOrEmpty(there.RunId))
            tags["mlflow.run"] = there.RunId;
        return (await uploader.UploadAsync(model, new VersionRequest(entries, tags, quantize), key, cancellation)).Version;
    }

    /// <summary>Whether somebody made the same model, version or pipeline at the same moment: another try finds theirs.</summary>
    public static bool IsConflict(DbUpdateException error) => RegistryContext.IsConflict(error, s_tables);

    /// <summary>
    /// The model among a version's files: of the folders that have one the outermost; in it a Hugging Face folder, else a GGUF file. The tokenizer
    /// may be in a folder of its own.
    /// </summary>
    internal static IReadOnlyList<(string Name, string Path)> Choose(IReadOnlyList<(string Path, long Size)> all)
    {
        var folders = all.Select(file => file.Path).GroupBy(path => path[..(path.LastIndexOf('/') + 1)])
            .OrderBy(folder => folder.Key.Count(letter => letter == '/')).ThenBy(folder => folder.Key, StringComparer.Ordinal).ToList();
        foreach (var folder in folders)
        {
            var names = folder.Select(path => path[folder.Key.Length..]).Order(StringComparer.Ordinal).ToList();
            if (names.Contains("config.json") && names.Any(name => name.EndsWith(".safetensors", StringComparison.Ordinal)))
            {
                var chosen = names.Where(IsOfModel).Select(name => (Name: name, Path: folder.Key + name)).ToList();
                var beside = all.Select(file => file.Path).Where(path => path.Contains(Components, StringComparison.Ordinal))
                    .Select(path => (Name: path[(path.LastIndexOf('/') + 1)..], Path: path)).Where(file => chosen.All(known => known.Name != file.Name));
                return [.. chosen, .. beside.DistinctBy(file => file.Name)];
            }
            var pieces = names.Where(name => name.EndsWith(".gguf", StringComparison.Ordinal)).Select(name => (name, folder.Key + name)).ToList();
            if (pieces.Count > 0)
                return pieces;
        }
        return [];
    }

    // MLflow's own files, and weights in other forms.
    private static bool IsOfModel(string name) => Path.GetExtension(name) is ".json" or ".safetensors" or ".txt" or ".model" or ".md" or ".jinja"
        || name.StartsWith("LICENSE", StringComparison.OrdinalIgnoreCase) || name.StartsWith("NOTICE", StringComparison.OrdinalIgnoreCase);
}

/// <summary>Imports what policies watch for, each version once.</summary>
internal sealed class MlflowWatcher(IServiceScopeFactory scopes, IMlflowApi api, MlflowOptions options, TimeProvider clock, ILogger<MlflowWatcher> log) : BackgroundService
{
    private const long Lock = 0x6d6c77617463;
    private const int MostAttempts = 20;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var poll = TimeSpan.FromSeconds(options.PollSeconds);
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                await LookAsync(stoppingToken);
            }
            catch (Exception error) when (!stoppingToken.IsCancellationRequested)
            {
                log.LogWarning("Looking for new versions in MLflow failed, retrying: {Reason}", error.GetBaseException().Message);
            }
            await Task.Delay(poll, clock, stoppingToken);
        }
    }

    /// <summary>Takes what is new.</summary>
    internal async Task LookAsync(CancellationToken cancellation)
    {
        await using var scope = scopes.CreateAsyncScope();
        var context = scope.ServiceProvider.GetRequiredService<RegistryContext>();
        var sources = (await context.Policies.AsNoTracking().OrderBy(policy => policy.Name).ToListAsync(cancellation))
            .Select(policy => policy.Mlflow).OfType<MlflowSource>().Distinct().ToList();
        if (sources.Count == 0)
            return;
        await using var held = await context.TryLockAsync(Lock, cancellation);
        if (held is null)
            return;
        foreach (var source in sources)
        {
            foreach (var version in await api.VersionsAsync($"name = '{source.Name}'", cancellation))
            {
                if (HasTag(version, source.Tag) && version.Status is null or MlflowVersion.Ready)
                    await TakeAsync(version, cancellation);
            }
        }
    }

    private static bool HasTag(MlflowVersion version, string tag) => tag.Split(':', 2) is [var key, var value]
        ? version.TagOf(key) == value
        : version.TagOf(tag) is not null;

    private async Task TakeAsync(MlflowVersion version, CancellationToken cancellation)
    {
        await using var scope = scopes.CreateAsyncScope();
        var context = scope.ServiceProvider.GetRequiredService<RegistryContext>();
        var now = clock.GetUtcNow();
        var import = await context.MlflowImports.FindAsync([version.Name, version.Version], cancellation);
        if (import is not null && (import.DueAt is not { } due || due > now))
            return;
        // Before the work: an import that ends with the process is due again.
        import ??= context.MlflowImports.Add(new MlflowImport { Name = version.Name, Version = version.Version, CreatedAt = now, DueAt = now }).Entity;
        import.Attempts++;
        await context.SaveChangesAsync(cancellation);
        try
        {
            await using var work = scopes.CreateAsyncScope();
            var made = await work.ServiceProvider.GetRequiredService<MlflowImporter>().ImportAsync(version.Name, version.Version, version.Name, quantize: true, key: null, cancellation);
            import.VersionId = await context.Versions.Where(row => row.Model.Name == made.Model && row.Number == made.Version).Select(row => (Guid?)row.Id).FirstOrDefaultAsync(cancellation);
            (import.DueAt, import.Error) = (null, null);
            log.LogInformation("{Name} version {Version} of MLflow is {Model} version {Number}", version.Name, version.Version, made.Model, made.Version);
        }
        catch (Exception error) when (!cancellation.IsCancellationRequested)
        {
            var isFinal = error is RefusedException or MlflowException { IsRefusal: true } || import.Attempts >= MostAttempts;
            import.DueAt = isFinal ? null : now + Backoff.After(import.Attempts, TimeSpan.FromSeconds(options.PollSeconds), TimeSpan.FromHours(1));
            import.Error = error is RefusedException or MlflowException or ArtifactStoreException ? ServerPaths.Hide(error.Message) : "the registry could not import it; see its log";
            log.LogWarning("{Name} version {Version} of MLflow cannot be imported{Next}: {Reason}", version.Name, version.Version, isFinal ? "" : ", retrying", error.GetBaseException().Message);
        }
        await context.SaveChangesAsync(cancellation);
    }
}
