namespace Qbb.Artifacts.S3;

/// <summary>Locks that tasks and processes which share a folder respect; a process that is killed lets go of its own.</summary>
/// <param name="folder">Of the lock files; it is there.</param>
internal sealed class FolderLock(string folder)
{
    private const int WouldBlock = 11; // EWOULDBLOCK of flock(2)
    private static readonly TimeSpan s_longestPause = TimeSpan.FromMilliseconds(200);

    /// <summary>Takes a lock; disposing lets it go.</summary>
    public async Task<IDisposable> TakeAsync(string name, CancellationToken cancellation)
    {
        for (var pause = TimeSpan.FromMilliseconds(5); ; pause = pause < s_longestPause ? pause * 2 : s_longestPause)
        {
            if (TryTake(name) is { } taken)
                return taken;
            await Task.Delay(pause, cancellation);
        }
    }

    /// <summary>Takes a lock that is free; null where somebody has it.</summary>
    public IDisposable? TryTake(string name)
    {
        try
        {
            return new FileStream(Path.Combine(folder, name), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, 0);
        }
        catch (IOException error) when (error.HResult == WouldBlock)
        {
            return null;
        }
    }
}
