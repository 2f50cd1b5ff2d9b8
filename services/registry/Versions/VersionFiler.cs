using Microsoft.EntityFrameworkCore;
using Qbb.Artifacts;
using Qbb.Registry.Data;

namespace Qbb.Registry.Versions;

/// <summary>Adds versions to a model that the caller's transaction holds.</summary>
internal sealed class VersionFiler(RegistryContext context, TimeProvider clock)
{
    /// <summary>The model's version with that manifest: a new one, or the one that is there; one that was deleted is restored.</summary>
    /// <param name="model">A locked row.</param>
    /// <param name="manifest">Its files are in the store.</param>
    /// <param name="kind">Where a new one comes from.</param>
    /// <param name="cancellation">Stops.</param>
    /// <returns>The second value says whether it is new, or was gone.</returns>
    public async Task<(ModelVersion Version, bool IsNew)> FileAsync(
        Model model, ArtifactManifest manifest, VersionKind kind, CancellationToken cancellation)
    {
        var digest = manifest.Digest.Value;
        var there = await context.Versions.Include(version => version.Lineage)
            .FirstOrDefaultAsync(version => version.ModelId == model.Id && version.Manifest == digest, cancellation);
        if (there is { DeletedAt: null })
            return (there, false);
        if (there is not null)
        {
            there.DeletedAt = null;
            there.Revision++;
            if (there.PurgedAt is not null)
                AddFiles(there.Id, manifest);
            there.PurgedAt = null;
            return (there, true);
        }
        model.LastVersion++;
        model.Revision++;
        var added = new ModelVersion
        {
            Id = Guid.CreateVersion7(),
            ModelId = model.Id,
            Number = model.LastVersion,
            Manifest = digest,
            Kind = kind,
            Bytes = manifest.Size,
            CreatedAt = clock.GetUtcNow(),
        };
        context.Versions.Add(added);
        AddFiles(added.Id, manifest);
        return (added, true);
    }

    private void AddFiles(Guid version, ArtifactManifest manifest)
    {
        foreach (var (name, entry) in manifest.Files)
            context.Files.Add(new VersionFile { VersionId = version, Name = name, Digest = entry.Digest.Value, Size = entry.Size });
    }
}
