namespace Qbb.Workers.Models;

/// <summary>A folder for one unit's work; it goes when the unit ends.</summary>
public sealed class WorkPath : IDisposable
{
    internal WorkPath(string path) => Path = path;

    public string Path { get; }

    public void Dispose()
    {
        if (Directory.Exists(Path))
            Directory.Delete(Path, recursive: true);
    }
}
