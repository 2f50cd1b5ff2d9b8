using System.Runtime.InteropServices;

namespace Qbb.Workers.Models;

/// <summary>A second name for a file: a hard link, or on another disk a symbolic one.</summary>
internal static partial class FileLinks
{
    public static void Link(string file, string name)
    {
        if (HardLink(file, name) != 0)
            File.CreateSymbolicLink(name, file);
    }

    [LibraryImport("libc", EntryPoint = "link", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int HardLink(string file, string name);
}
