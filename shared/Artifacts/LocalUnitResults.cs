using System.Runtime.CompilerServices;
using System.Text.Json;
using Qbb.Contracts;

namespace Qbb.Artifacts;

/// <summary>Unit results in a folder beside a store: <c>units/ab/abcd….json</c>.</summary>
/// <param name="store">Where the results' files are.</param>
/// <param name="root">Made if need be.</param>
public sealed class LocalUnitResults(IArtifactStore store, string root) : IUnitResults
{
    private readonly string _folder = Path.Combine(Path.GetFullPath(root), "units");

    public async Task<UnitResult?> FindAsync(Digest unit, CancellationToken cancellation = default)
    {
        if (TryRead(PathOf(unit)) is not { } found || !await ArtifactFolders.KeepAsync(store, found.Manifest, cancellation))
            return null;
        return FileTimes.TryTouch(PathOf(unit)) ? found : null;
    }

    public async Task<UnitResult> RememberAsync(Digest unit, UnitResult result, CancellationToken cancellation = default)
    {
        var path = PathOf(unit);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        var temporary = $"{path}.{Guid.NewGuid():N}";
        await File.WriteAllBytesAsync(temporary, JsonSerializer.SerializeToUtf8Bytes(result, JsonSerializerOptions.Web), cancellation);
        try
        {
            // A second name appears for one worker alone. File.Move looks first and renames then, so that two could both be first.
            if (FileLinks.TryLink(temporary, path))
                return result;
            if (File.Exists(path) && await FindAsync(unit, cancellation) is { } first)
                return first;
            File.Move(temporary, path, overwrite: true);
            return result;
        }
        finally
        {
            File.Delete(temporary);
        }
    }

    public Task<bool> ForgetAsync(Digest unit, CancellationToken cancellation = default)
    {
        var found = File.Exists(PathOf(unit));
        File.Delete(PathOf(unit));
        return Task.FromResult(found);
    }

    public async IAsyncEnumerable<(Digest Unit, UnitResult Result, DateTimeOffset LastUsed)> ListAsync(
        [EnumeratorCancellation] CancellationToken cancellation = default)
    {
        await Task.CompletedTask;
        if (!Directory.Exists(_folder))
            yield break;
        foreach (var file in new DirectoryInfo(_folder).EnumerateFiles("*.json", SearchOption.AllDirectories))
        {
            cancellation.ThrowIfCancellationRequested();
            if (Digest.TryParse(Path.GetFileNameWithoutExtension(file.Name), out var unit) && TryRead(file.FullName) is { } result)
                yield return (unit, result, file.LastWriteTimeUtc);
        }
    }

    private string PathOf(Digest unit) => Path.Combine(_folder, unit.Value[..2], unit.Value + ".json");

    private static UnitResult? TryRead(string path)
    {
        try
        {
            return JsonSerializer.Deserialize<UnitResult>(File.ReadAllBytes(path), JsonSerializerOptions.Web);
        }
        catch (Exception error) when (error is IOException or JsonException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
