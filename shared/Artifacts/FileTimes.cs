namespace Qbb.Artifacts;

/// <summary>A file's time of last write, which says when it was last used.</summary>
internal static class FileTimes
{
    /// <summary>Marks a file as used now; false where it is not there.</summary>
    public static bool TryTouch(string path)
    {
        try
        {
            if (!File.Exists(path))
                return false;
            File.SetLastWriteTimeUtc(path, DateTime.UtcNow);
            return true;
        }
        catch (FileNotFoundException)
        {
            return false;
        }
    }
}
