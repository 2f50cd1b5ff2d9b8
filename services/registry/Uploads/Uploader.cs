using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Qbb.Artifacts;
using Qbb.Contracts;
using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Messaging;
using Qbb.Registry.Pipelines;
using Qbb.Registry.Versions;

namespace Qbb.Registry.Uploads;

/// <summary>Makes a version of files that are in the store, and starts what the policies ask for: all in one transaction.</summary>
internal sealed class Uploader(
    RegistryContext context, IArtifactStore store, BlobLeases leases, VersionFiler filer, PipelineStarter starter, PipelineRunner runner, OutboxSignal signal,
    IOptions<PipelineOptions> options, TimeProvider clock)
{
    /// <returns>The second value says whether the version is new.</returns>
    /// <exception cref="RefusedException">The files cannot be a model, or are not in the store.</exception>
    public async Task<(UploadedVersion Version, bool IsNew)> UploadAsync(
        string name, VersionRequest request, IdempotencyKey? key, CancellationToken cancellation)
    {
        var manifest = Check(name, request);
        await CheckStoreAsync(manifest, request, cancellation);
        await manifest.PutAsync(store, cancellation);
        await HoldAsync(manifest, request, cancellation);
        var config = await ModelFiles.ConfigAsync(manifest, store, cancellation);
        var method = ModelFiles.QuantizedBy(config);
        var shape = ModelShape.Of(config);
        var recipes = request.Quantize && method is null ? await RecipesAsync(name, shape, manifest.Size, cancellation) : [];
        await using var transaction = await context.Database.BeginTransactionAsync(cancellation);
        var model = await FindOrAddAsync(name, cancellation);
        var (version, isNew) = await filer.FileAsync(model, manifest, method is null ? VersionKind.Upload : VersionKind.Quantized, cancellation);
        version.Shape ??= shape;
        if (isNew)
            await TagAsync(version, request.Tags ?? new Dictionary<string, string>(), cancellation);
        await context.SaveChangesAsync(cancellation);
        var pipelines = new List<Guid>();
        foreach (var (recipe, recipeName) in isNew ? recipes : [])
            pipelines.Add((await starter.StartAsync(model, version, recipe, recipeName, cancellation)).Id);
        var uploaded = new UploadedVersion(
            model.Name, version.Number, version.Manifest, pipelines, method is null ? null : $"the model is quantized already, by {method}: no pipeline is started");
        key?.Keep(
            context, clock.GetUtcNow(), isNew ? StatusCodes.Status201Created : StatusCodes.Status200OK, isNew ? AddressOf(uploaded) : null, uploaded);
        await context.SaveChangesAsync(cancellation);
        await transaction.CommitAsync(cancellation);
        signal.Set();
        runner.Committed();
        return (uploaded, isNew);
    }

    public static string AddressOf(UploadedVersion version) => $"/api/models/{version.Model}/versions/{version.Version}";

    private static ArtifactManifest Check(string name, VersionRequest request)
    {
        if (ModelName.ProblemOf(name) is { } problem)
            throw RefusedException.Invalid(problem);
        if (request.Files is not { Count: > 0 } files || files.Any(file => file?.Name is null))
            throw RefusedException.Invalid("files are missing");
        var problems = ModelFiles.Problems([.. files.Select(file => file.Name)]).Concat(TagEndpoints.Problems(request.Tags)).ToList();
        if (problems.Count > 0)
            throw RefusedException.Invalid("the upload cannot be a version: " + string.Join("; ", problems), problems);
        try
        {
            return new ArtifactManifest(files.Select(file => KeyValuePair.Create(file.Name, new ManifestEntry(file.Digest, file.Size))));
        }
        catch (ArtifactStoreException error)
        {
            throw RefusedException.Invalid(error.Message);
        }
    }

    private async Task CheckStoreAsync(ArtifactManifest manifest, VersionRequest request, CancellationToken cancellation)
    {
        var missing = new List<string>();
        var wrong = new List<string>();
        foreach (var (name, entry) in manifest.Files)
        {
            if (await store.FindAsync(entry.Digest, cancellation) is not { } blob)
                missing.Add(name);
            else if (blob.Size != entry.Size)
                wrong.Add($"{name} has {blob.Size} bytes, not {entry.Size}");
        }
        if (missing.Count > 0)
            throw Missing(missing, request);
        if (wrong.Count == 0)
            wrong.AddRange(await ModelFiles.MissingShardsAsync(manifest, store, cancellation));
        if (wrong.Count > 0)
            throw RefusedException.Invalid("the upload cannot be a version: " + string.Join("; ", wrong), wrong);
    }

    /// <summary>Sees to it that no collection takes the files before the version stands.</summary>
    private async Task HoldAsync(ArtifactManifest manifest, VersionRequest request, CancellationToken cancellation)
    {
        await leases.KeepAsync([manifest.Digest, .. manifest.Files.Values.Select(entry => entry.Digest)], cancellation);
        var missing = new List<string>();
        foreach (var (name, entry) in manifest.Files)
        {
            if (!await store.KeepAsync(entry.Digest, cancellation))
                missing.Add(name);
        }
        if (missing.Count > 0 || !await store.KeepAsync(manifest.Digest, cancellation))
            throw Missing(missing, request);
    }

    private static RefusedException Missing(List<string> names, VersionRequest request) => RefusedException.Conflict(
        $"{names.Count} of {request.Files.Count} files are not in the store: upload them with PUT /api/blobs/DIGEST, then try again", names);

    private async Task<Model> FindOrAddAsync(string name, CancellationToken cancellation)
    {
        var id = await context.Models.Where(model => model.Name == name).Select(model => (Guid?)model.Id).FirstOrDefaultAsync(cancellation);
        if (id is { } known)
        {
            var there = (await context.LockModelAsync(known, cancellation))!;
            there.DeletedAt = null;
            return there;
        }
        var added = new Model { Id = Guid.CreateVersion7(), Name = name, CreatedAt = clock.GetUtcNow() };
        context.Models.Add(added);
        await context.SaveChangesAsync(cancellation);
        return added;
    }

    private async Task TagAsync(ModelVersion version, IReadOnlyDictionary<string, string> tags, CancellationToken cancellation)
    {
        var there = await context.Set<VersionTag>().Where(tag => tag.VersionId == version.Id).ToListAsync(cancellation);
        foreach (var (key, value) in tags)
        {
            if (there.Find(tag => tag.Key == key) is { } known)
                known.Value = value;
            else
                context.Add(new VersionTag { VersionId = version.Id, Key = key, Value = value });
        }
    }

    /// <summary>What the policies ask for, each recipe once and its parts stored: before the transaction, in which nothing waits for a store.</summary>
    private async Task<IReadOnlyList<(PipelineRecipe Recipe, string Name)>> RecipesAsync(string model, ModelShape? shape, long bytes, CancellationToken cancellation)
    {
        var policies = await context.Policies.AsNoTracking().OrderBy(policy => policy.Name).ToListAsync(cancellation);
        var recipes = policies.Where(policy => policy.AppliesTo(model)).SelectMany(policy => policy.Recipes)
            .Select(recipe => (Recipe: RecipeIntake.For(PipelineRecipe.Parse(recipe.Json), shape, bytes, options.Value), recipe.Name)).DistinctBy(recipe => recipe.Recipe.Digest).ToList();
        foreach (var (recipe, _) in recipes)
            await RecipeIntake.StoreAsync(recipe, store, cancellation);
        return recipes;
    }
}
