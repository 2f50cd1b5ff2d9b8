using System.Runtime.InteropServices;

namespace Qbb.Artifacts;

/// <summary>Second names for files, and how many names a file has.</summary>
internal static partial class FileLinks
{
    private const int CurrentFolder = -100; // AT_FDCWD
    private const uint LinkCount = 0x4; // STATX_NLINK

    /// <summary>Gives a file a second name; false where that is on another disk, or the file is gone.</summary>
    public static bool TryLink(string file, string name) => HardLink(file, name) == 0;

    /// <summary>How many names a file has; 0 where it is gone.</summary>
    public static int CountOf(string file) => Statx(CurrentFolder, file, 0, LinkCount, out var status) == 0 ? (int)status.Links : 0;

    [LibraryImport("libc", EntryPoint = "link", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int HardLink(string file, string name);

    [LibraryImport("libc", EntryPoint = "statx", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Statx(int folder, string path, int flags, uint mask, out FileStatus status);

    /// <summary>struct statx, which is alike on all of Linux's processors.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 256)]
    private struct FileStatus
    {
        [FieldOffset(16)]
        public uint Links;
    }
}
