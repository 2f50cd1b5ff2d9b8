using System.Globalization;
using Microsoft.EntityFrameworkCore;
using Qbb.Registry.Data;
using Qbb.Registry.Http;

namespace Qbb.Registry.Versions;

/// <summary>What handlers of models and versions work with.</summary>
internal sealed record VersionServices(
    RegistryContext Context, ModelFinder Finder, VersionViews Views, ETags Tags, TimeProvider Clock, CancellationToken Cancellation)
{
    /// <summary>Changes a model or what belongs to it in one transaction; of one model one change runs at a time.</summary>
    public Task<T> ChangeAsync<T>(string name, Func<Model, Task<T>> change, bool deleted = false) => Context.ChangeAsync(async () =>
    {
        var id = await Context.Models.Where(model => model.Name == name).Select(model => (Guid?)model.Id).FirstOrDefaultAsync(Cancellation);
        var model = id is { } known ? await Context.LockModelAsync(known, Cancellation) : null;
        return model is not null && (deleted || model.DeletedAt is null) ? await change(model) : throw ModelFinder.None(name);
    }, [], Cancellation);

    /// <summary>Changes a version in the same way.</summary>
    public Task<T> ChangeAsync<T>(string name, string reference, Func<ModelVersion, Task<T>> change, bool deleted = false) =>
        ChangeAsync(name, async model => await change(await Finder.VersionAsync(model, reference, Cancellation, deleted)));
}

/// <summary>Finds models and versions by what people call them.</summary>
internal sealed class ModelFinder(RegistryContext context)
{
    private const int LeastDigits = 8;

    /// <exception cref="RefusedException">There is none, or it was deleted.</exception>
    public async Task<Model> ModelAsync(string name, CancellationToken cancellation) =>
        await context.Models.FirstOrDefaultAsync(model => model.Name == name && model.DeletedAt == null, cancellation)
        ?? throw None(name);

    public async Task<ModelVersion> VersionAsync(string name, string reference, CancellationToken cancellation) =>
        await VersionAsync(await ModelAsync(name, cancellation), reference, cancellation);

    /// <summary>
    /// A version by number, alias, the first digits of its manifest's digest, or latest. What has fewer digits than a digest needs is a number.
    /// </summary>
    /// <exception cref="RefusedException">There is none, it was deleted, or the digits fit several.</exception>
    public async Task<ModelVersion> VersionAsync(Model model, string reference, CancellationToken cancellation, bool deleted = false)
    {
        var all = context.Versions.Where(version => version.ModelId == model.Id && (deleted || version.DeletedAt == null));
        if (reference == ModelName.Latest && await all.OrderByDescending(version => version.Number).FirstOrDefaultAsync(cancellation) is { } newest)
            return newest;
        if (reference.Length < LeastDigits && int.TryParse(reference, NumberStyles.None, CultureInfo.InvariantCulture, out var number))
        {
            return await all.FirstOrDefaultAsync(version => version.Number == number, cancellation)
                ?? throw RefusedException.NotFound($"{model.Name} has no version {number}");
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
        throw RefusedException.NotFound($"{model.Name} has no version or alias {Shown(reference)}");
    }

    public static RefusedException None(string name) => RefusedException.NotFound($"there is no model {Shown(name)}");

    private static string Shown(string text) => string.Concat(text.Take(80).Select(character => char.IsControl(character) ? '\uFFFD' : character));
}
