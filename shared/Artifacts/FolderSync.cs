using System.Runtime.InteropServices;

namespace Qbb.Artifacts;

/// <summary>Makes a rename durable: the entry lies in the folder, which has to reach the disk too.</summary>
internal static partial class FolderSync
{
    private const int ReadOnlyDirectory = 0x10000; // O_RDONLY | O_DIRECTORY on Linux x86-64

    public static void Flush(string folder)
    {
        var descriptor = Open(folder, ReadOnlyDirectory);
        if (descriptor < 0)
            throw new IOException($"{folder}: cannot be opened to flush it (error {Marshal.GetLastPInvokeError()})");
        try
        {
            if (Sync(descriptor) != 0)
                throw new IOException($"{folder}: cannot be flushed to the disk (error {Marshal.GetLastPInvokeError()})");
        }
        finally
        {
            _ = Close(descriptor);
        }
    }

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int Sync(int descriptor);

    [LibraryImport("libc", EntryPoint = "close", SetLastError = true)]
    private static partial int Close(int descriptor);
}
