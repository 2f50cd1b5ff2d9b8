using System.Buffers;
using System.Security.Cryptography;
using System.Text.Json;

namespace Qbb.Checkpoints;

/// <summary>
/// SHA-256 of files. Hashes of large files are remembered by path, size and modification time, so that a model is read once and not for
/// every command; small ones are always read.
/// </summary>
public static class FileHashes
{
    private const int BufferBytes = 1 << 20;
    private static readonly AsyncLocal<Action<double, double, string>?> s_listener = new();

    /// <summary>The user's cache, which is safe to delete: $XDG_CACHE_HOME/qbb, else ~/.cache/qbb; null for a user without home.</summary>
    public static string? CacheFolder
    {
        get
        {
            var folder = Environment.GetEnvironmentVariable("XDG_CACHE_HOME");
            if (string.IsNullOrEmpty(folder) && Environment.GetFolderPath(Environment.SpecialFolder.UserProfile) is { Length: > 0 } home)
                folder = Path.Combine(home, ".cache");
            return Path.IsPathRooted(folder) ? Path.Combine(folder, "qbb") : null;
        }
    }

    /// <summary>Reports the hashing that this flow of control does until the result is disposed: bytes done, bytes in all, the file.</summary>
    public static IDisposable Listen(Action<double, double, string> hear)
    {
        var outer = s_listener.Value;
        s_listener.Value = hear;
        return new Restored(outer);
    }

    /// <returns>The hash of every file, 32 bytes each, in the order of the files.</returns>
    /// <exception cref="InvalidInputException">A file cannot be read.</exception>
    public static IReadOnlyList<byte[]> Sha256(IReadOnlyList<string> files, CancellationToken cancellation = default) =>
        Sha256(files, RememberedHashes.OfUser, cancellation);

    internal static IReadOnlyList<byte[]> Sha256(IReadOnlyList<string> files, RememberedHashes remembered, CancellationToken cancellation)
    {
        var states = files.Select(FileState.Of).ToList();
        var hashes = remembered.Find(states);
        var work = new Progress(Enumerable.Range(0, files.Count).Where(i => hashes[i] is null).Sum(i => states[i].Bytes));
        for (var i = 0; i < files.Count; i++)
        {
            if (hashes[i] is not null)
                continue;
            hashes[i] = Read(files[i], work, cancellation);
            // Each by itself: an interrupted run keeps the files that it finished.
            if (FileState.Of(files[i]) == states[i])
                remembered.Add(states[i], hashes[i]!);
        }
        return hashes!;
    }

    private static byte[] Read(string path, Progress work, CancellationToken cancellation)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(BufferBytes);
        try
        {
            using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0, FileOptions.SequentialScan);
            for (int count; (count = stream.Read(buffer)) > 0;)
            {
                cancellation.ThrowIfCancellationRequested();
                hash.AppendData(buffer, 0, count);
                work.Report(count, path);
            }
            return hash.GetHashAndReset();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InvalidInputException($"{path}: cannot be read: {e.Message}", e);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private sealed class Progress(long total)
    {
        private long _done;

        public void Report(int count, string path) => s_listener.Value?.Invoke(_done += count, total, Path.GetFileName(path));
    }

    private sealed class Restored(Action<double, double, string>? outer) : IDisposable
    {
        public void Dispose() => s_listener.Value = outer;
    }
}

/// <summary>What tells that a file is the one that was hashed.</summary>
/// <param name="Path">Where a link leads to.</param>
/// <param name="Bytes">Its size.</param>
/// <param name="Modified">When its content was changed last, UTC.</param>
internal sealed record FileState(string Path, long Bytes, DateTime Modified)
{
    /// <exception cref="InvalidInputException">The file is missing or cannot be read.</exception>
    public static FileState Of(string path)
    {
        try
        {
            var file = File.ResolveLinkTarget(path, returnFinalTarget: true) as FileInfo ?? new FileInfo(path);
            return new FileState(file.FullName, file.Length, file.LastWriteTimeUtc);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InvalidInputException($"{path}: cannot be read: {e.Message}", e);
        }
    }
}

/// <summary>
/// The hashes in a file of the user's cache folder. Readers see it whole, because writers replace it; writers take turns by a lock file, so
/// that processes side by side lose nothing. It is a cache: where it cannot be read or written, files are hashed again.
/// </summary>
/// <param name="path">The file; null for no memory.</param>
/// <param name="leastBytes">Smaller files are not worth an entry.</param>
internal sealed class RememberedHashes(string? path, long leastBytes = 16 << 20)
{
    /// <summary>A change within this time may leave the modification time as it is, so that younger files are hashed again.</summary>
    private static readonly TimeSpan s_settled = TimeSpan.FromSeconds(2);

    /// <summary>Of the user who runs the program; processes without a home have none.</summary>
    public static RememberedHashes OfUser { get; } = new(UserFile());

    /// <returns>The hash of each file, null where it is to be read.</returns>
    public byte[]?[] Find(IReadOnlyList<FileState> files)
    {
        var known = files.Any(IsWorthwhile) ? Read() : [];
        return [.. files.Select(file => IsWorthwhile(file) && known.TryGetValue(file.Path, out var entry) && entry.IsOf(file) ? entry.Hash : null)];
    }

    public void Add(FileState file, byte[] hash)
    {
        if (path is null || !IsWorthwhile(file) || DateTime.UtcNow - file.Modified < s_settled)
            return;
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            using var turn = TakeTurn();
            if (turn is null)
                return;
            var known = Read().Where(entry => File.Exists(entry.Key)).ToDictionary();
            known[file.Path] = new Entry(file.Bytes, file.Modified, hash);
            var fresh = $"{path}.{Environment.ProcessId}";
            File.WriteAllBytes(fresh, JsonSerializer.SerializeToUtf8Bytes(known));
            File.Move(fresh, path, overwrite: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // No memory then.
        }
    }

    private bool IsWorthwhile(FileState file) => path is not null && file.Bytes >= leastBytes;

    private Dictionary<string, Entry> Read()
    {
        try
        {
            var found = JsonSerializer.Deserialize<Dictionary<string, Entry>>(File.ReadAllBytes(path!)) ?? [];
            return found.Where(entry => entry.Value?.Hash?.Length == SHA256.HashSizeInBytes).ToDictionary();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException)
        {
            return [];
        }
    }

    /// <summary>The lock, for the moment that a write takes; null where others hold it for longer than a second.</summary>
    private FileStream? TakeTurn()
    {
        for (var tries = 0; tries < 100; tries++)
        {
            try
            {
                return new FileStream(path + ".lock", FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException)
            {
                Thread.Sleep(10);
            }
        }
        return null;
    }

    private static string? UserFile() => FileHashes.CacheFolder is { } folder ? Path.Combine(folder, "hashes.json") : null;

    private sealed record Entry(long Bytes, DateTime Modified, byte[] Hash)
    {
        public bool IsOf(FileState file) => Bytes == file.Bytes && Modified == file.Modified;
    }
}
