using Microsoft.EntityFrameworkCore;
using Qbb.Registry.Data;
using Qbb.Registry.Http;

namespace Qbb.Registry.Versions;

/// <summary>What handlers of models and versions work with.</summary>
internal sealed record VersionServices(
    RegistryContext Context, ModelFinder Finder, VersionViews Views, ETags Tags, TimeProvider Clock, CancellationToken Cancellation);

/// <summary>Finds models and versions by what people call them.</summary>
internal sealed class ModelFinder(RegistryContext context)
{
    private const int LeastDigits = 8;

    /// <exception cref="RefusedException">There is none, or it was deleted.</exception>
    public async Task<Model> ModelAsync(string name, CancellationToken cancellation) =>
        await context.Models.FirstOrDefaultAsync(model => model.Name == name && model.DeletedAt == null, cancellation)
        ?? throw RefusedException.NotFound($"there is no model {Shown(name)}");

    /// <summary>A version by number, alias, or the first digits of its manifest's digest.</summary>
    /// <exception cref="RefusedException">There is none, it was deleted, or the digits fit several.</exception>
    public async Task<ModelVersion> VersionAsync(string name, string reference, CancellationToken cancellation, bool deleted = false)
    {
        var model = await ModelAsync(name, cancellation);
        var all = context.Versions.Where(version => version.ModelId == model.Id && (deleted || version.DeletedAt == null));
        if (int.TryParse(reference, out var number))
        {
            return await all.FirstOrDefaultAsync(version => version.Number == number, cancellation)
                ?? throw RefusedException.NotFound($"{name} has no version {number}");
        }
        var aliased = await context.Aliases.Where(alias => alias.ModelId == model.Id && alias.Name == reference)
            .Select(alias => alias.VersionId).FirstOrDefaultAsync(cancellation);
        if (aliased != default && await all.FirstOrDefaultAsync(version => version.Id == aliased, cancellation) is { } named)
            return named;
        if (reference.Length >= LeastDigits && reference.All(char.IsAsciiHexDigitLower))
        {
            var found = await all.Where(version => version.Manifest.StartsWith(reference)).Take(2).ToListAsync(cancellation);
            if (found.Count == 1)
                return found[0];
        }
        throw RefusedException.NotFound($"{name} has no version or alias {Shown(reference)}");
    }

    private static string Shown(string text) => string.Concat(text.Take(80).Select(character => char.IsControl(character) ? '\uFFFD' : character));
}
