namespace Qbb.Checkpoints;

/// <summary>
/// A file that is written as <c>NAME.partial</c> beside its target and gets its own name, whole, at <see cref="Commit"/>; without that nothing stays.
/// What the disk refuses is an <see cref="InvalidInputException"/>.
/// </summary>
internal sealed class PartialFile : IDisposable
{
    private const int BufferBytes = 1 << 20;

    private readonly string _path;
    private FileStream? _stream;

    private PartialFile(string path) => (_path, Name) = (path, path + ".partial");

    /// <summary>The name until <see cref="Commit"/>.</summary>
    public string Name { get; }

    /// <summary>Whether it was committed or given up.</summary>
    public bool IsClosed => _stream is null;

    /// <param name="path">The target; an existing file is replaced, at <see cref="Commit"/> and not before.</param>
    /// <param name="share">What others may do with the file meanwhile.</param>
    /// <exception cref="InvalidInputException">The place cannot be written.</exception>
    public static PartialFile Create(string path, FileShare share)
    {
        if (Directory.Exists(path))
            throw new InvalidInputException($"{path} is a folder", "choose the name of a file");
        var file = new PartialFile(path);
        file.Guard(() => file._stream = new FileStream(file.Name, FileMode.Create, FileAccess.Write, share, BufferBytes));
        return file;
    }

    /// <exception cref="InvalidInputException">The disk is full.</exception>
    public void Write(ReadOnlySpan<byte> bytes)
    {
        try
        {
            _stream!.Write(bytes);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw Unwritable(error);
        }
    }

    /// <summary>Brings everything to the disk.</summary>
    /// <exception cref="InvalidInputException">The disk is full.</exception>
    public void Flush() => Guard(() => _stream!.Flush(flushToDisk: true));

    /// <summary>Brings everything to the disk and gives the file its name.</summary>
    /// <exception cref="InvalidInputException">The disk is full, or the name cannot be taken.</exception>
    public void Commit()
    {
        Guard(() =>
        {
            _stream!.Flush(flushToDisk: true);
            _stream.Dispose();
            File.Move(Name, _path, overwrite: true);
        });
        _stream = null;
    }

    /// <summary>Removes what was written, unless it was committed.</summary>
    public void Dispose()
    {
        if (_stream is null)
            return;
        try
        {
            _stream.Dispose();
        }
        catch (IOException)
        {
            // The last buffered bytes did not fit the disk either; they are not wanted any more.
        }
        File.Delete(Name);
        _stream = null;
    }

    private void Guard(Action action)
    {
        try
        {
            action();
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw Unwritable(error);
        }
    }

    private InvalidInputException Unwritable(Exception error) =>
        new($"{_path}: cannot be written: {error.Message}", "see that the folder exists and may be written and that the disk has room", error);
}
