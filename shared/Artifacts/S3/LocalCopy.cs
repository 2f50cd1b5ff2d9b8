namespace Qbb.Artifacts.S3;

/// <summary>What comes in once only, as a temporary file that goes when it is closed.</summary>
internal static class LocalCopy
{
    private const int BufferBytes = 1 << 20;

    /// <exception cref="ArtifactStoreException">The disk is full.</exception>
    public static async Task<FileStream> OfAsync(Stream content, CancellationToken cancellation)
    {
        var path = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
        var file = new FileStream(path, new FileStreamOptions
        {
            Mode = FileMode.CreateNew,
            Access = FileAccess.ReadWrite,
            Share = FileShare.None,
            BufferSize = 0,
            Options = FileOptions.DeleteOnClose | FileOptions.Asynchronous,
            UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
        });
        try
        {
            var buffer = new byte[BufferBytes];
            for (int count; (count = await content.ReadAtLeastAsync(buffer, buffer.Length, throwOnEndOfStream: false, cancellation)) > 0;)
                await WriteAsync(file, buffer.AsMemory(0, count), cancellation);
            file.Position = 0;
            return file;
        }
        catch
        {
            await file.DisposeAsync();
            throw;
        }
    }

    private static async Task WriteAsync(FileStream file, ReadOnlyMemory<byte> bytes, CancellationToken cancellation)
    {
        try
        {
            await file.WriteAsync(bytes, cancellation);
        }
        catch (IOException error)
        {
            var message = $"{file.Name}: cannot be written: {error.Message}; see that the disk has room";
            throw StoreFullException.IsMeant(error) ? new StoreFullException(message, error) : new ArtifactStoreException(message, error);
        }
    }
}
