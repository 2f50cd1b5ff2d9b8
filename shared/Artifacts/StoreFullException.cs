namespace Qbb.Artifacts;

/// <summary>The store has no room for what was to be written.</summary>
public sealed class StoreFullException(string message, Exception? inner = null) : ArtifactStoreException(message, inner)
{
    private const int NoSpace = 28; // ENOSPC
    private const int NoQuota = 122; // EDQUOT

    /// <summary>Whether an error of a disk says that it is full.</summary>
    internal static bool IsMeant(Exception error) => error is IOException { HResult: NoSpace or NoQuota };
}
