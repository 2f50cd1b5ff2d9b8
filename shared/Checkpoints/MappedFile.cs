using System.IO.MemoryMappedFiles;

namespace Qbb.Checkpoints;

/// <summary>A file mapped read-only; every access is checked against the length the file had when it was opened.</summary>
/// <remarks>Without <see cref="Dispose"/> the mapping stays for good: views handed out must never dangle because of a collection.</remarks>
internal sealed unsafe class MappedFile : IReadableBytes, IDisposable
{
    private readonly MemoryMappedFile mapping;
    private readonly MemoryMappedViewAccessor view;
    private byte* start;

    private MappedFile(string path, long length, MemoryMappedFile mapping, MemoryMappedViewAccessor view)
    {
        (Path, Length, this.mapping, this.view) = (path, length, mapping, view);
        view.SafeMemoryMappedViewHandle.AcquirePointer(ref start);
        start += view.PointerOffset;
    }

    public string Path { get; }

    public long Length { get; }

    /// <exception cref="InvalidInputException">The file is missing, empty, no regular file, or may not be read.</exception>
    public static MappedFile Open(string path)
    {
        if (Directory.Exists(path))
            throw new InvalidInputException($"{path}: is a folder, a file was expected");
        try
        {
            // Pipes and devices report no length and are refused here: opening a pipe would block for ever.
            if (FileLength(path) == 0)
                throw new InvalidInputException($"{path}: the file is empty", "download or copy it again");
            var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
            var mapping = MemoryMappedFile.CreateFromFile(
                file, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: false);
            var view = mapping.CreateViewAccessor(0, 0, MemoryMappedFileAccess.Read);
            return new(path, file.Length, mapping, view);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new InvalidInputException($"{path}: no such file", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw new InvalidInputException($"{path}: cannot be read: {e.Message}", e);
        }
    }

    /// <summary>Bytes of a file; of a symbolic link, as the Hugging Face cache has them, those of the file that it leads to.</summary>
    public static long FileLength(string path) =>
        File.ResolveLinkTarget(path, returnFinalTarget: true) is FileInfo target ? target.Length : new FileInfo(path).Length;

    public ReadOnlySpan<byte> Slice(long offset, int length) => new(At(offset, length), length);

    public byte* At(long offset, long length)
    {
        ObjectDisposedException.ThrowIf(start == null, this);
        if (offset < 0 || length < 0 || offset > Length - length)
            throw new InvalidOperationException($"{Path}: bytes {offset} to {offset + length} were requested, it has {Length}");
        return start + offset;
    }

    public void Dispose()
    {
        if (start == null)
            return;
        start = null;
        view.SafeMemoryMappedViewHandle.ReleasePointer();
        view.Dispose();
        mapping.Dispose();
    }
}
