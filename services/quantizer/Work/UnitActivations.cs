using Microsoft.Extensions.Logging;
using Qbb.Artifacts;
using Qbb.Checkpoints;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Calibration;
using Qbb.Workers.Models;

namespace Qbb.Quantizer.Work;

/// <summary>
/// What the calibration data became behind the layers of one unit, for the next: in memory where that comes here too, and in the store for whoever gets
/// it. They are removed as soon as nobody needs them; where they are lost the data run through the blocks before once more.
/// </summary>
public sealed class UnitActivations(
    ModelFolders folders, WarmMemory memory, IArtifactStore store, IUnitResults results, ILogger<UnitActivations> log)
{
    /// <summary>What a unit starts from, which the caller owns; null where there is nothing before it, or it is lost.</summary>
    /// <param name="command">The unit.</param>
    /// <param name="load">Reads a folder.</param>
    /// <param name="model">The model's folder.</param>
    /// <param name="cancellation">Stops reading.</param>
    public async Task<Activations?> TakeAsync(
        DecomposeLayers command, Func<DecoderConfig, string, Activations> load, string model, CancellationToken cancellation)
    {
        if (command.Before.Count == 0)
            return null;
        var key = KeyOf(command, command.Before);
        if (memory.Take<Activations>(key) is { } kept)
            return kept;
        try
        {
            if (await results.FindAsync(key, cancellation) is { } found)
            {
                using var folder = folders.NewFolder();
                await folders.LayOutAsync(found.Manifest, folder.Path, cancellation);
                using var source = ModelSource.Open(model);
                return load(DecoderConfig.FromJson(source.ConfigJson), folder.Path);
            }
            log.LogWarning("The activations before unit {Unit} are gone: the blocks before it run again", command.Index + 1);
        }
        catch (Exception error) when (error is InvalidInputException or (ArtifactStoreException and not StoreAwayException))
        {
            log.LogWarning("The activations before unit {Unit} cannot be used, the blocks before it run again: {Reason}", command.Index + 1, error.Message);
            await results.ForgetAsync(key, cancellation);
        }
        return null;
    }

    /// <summary>Keeps what a unit left, and removes what no unit after it needs.</summary>
    /// <param name="command">The unit.</param>
    /// <param name="result">Its layers.</param>
    /// <param name="states">Taken over.</param>
    /// <param name="isLast">Whether there is no unit after it.</param>
    /// <param name="cancellation">Stops storing.</param>
    public async Task KeepAsync(DecomposeLayers command, Digest result, Activations states, bool isLast, CancellationToken cancellation)
    {
        Digest? stored = null;
        try
        {
            if (!isLast)
            {
                var key = KeyOf(command, [.. command.Before, result]);
                using var folder = folders.NewFolder();
                states.Save(folder.Path, cancellation);
                stored = await folders.StoreAsync(folder, cancellation);
                await results.RememberAsync(key, new UnitResult(stored.Value, []), cancellation);
                memory.Keep(key, states, states.Bytes);
            }
        }
        finally
        {
            if (stored is null)
                states.Dispose();
        }
        await RemoveOldAsync(command, stored, cancellation);
    }

    private async Task RemoveOldAsync(DecomposeLayers command, Digest? stored, CancellationToken cancellation)
    {
        if (command.Before.Count == 0)
            return;
        var start = await results.FindAsync(KeyOf(command, command.Before), cancellation);
        // This unit may have to be done again until its result is known: what it started from goes with the next. Units within a block start from the same.
        if (command.Before.Count > 1)
            await RemoveAsync(KeyOf(command, [.. command.Before.SkipLast(1)]), [start?.Manifest, stored], cancellation);
        if (stored is null)
            await RemoveAsync(KeyOf(command, command.Before), [], cancellation);
    }

    private async Task RemoveAsync(Digest key, Digest?[] used, CancellationToken cancellation)
    {
        if (await results.FindAsync(key, cancellation) is not { } found)
            return;
        await results.ForgetAsync(key, cancellation);
        if (used.Contains(found.Manifest))
            return;
        foreach (var file in (await ArtifactManifest.ReadAsync(store, found.Manifest, cancellation)).Files.Values)
            await store.DeleteAsync(file.Digest, cancellation);
        await store.DeleteAsync(found.Manifest, cancellation);
    }

    private static Digest KeyOf(DecomposeLayers command, IReadOnlyList<Digest> before) =>
        UnitKey.Of("Activations", command.Model, command.Decomposition, command.Data, UnitKey.Of(before), command.Type);
}
