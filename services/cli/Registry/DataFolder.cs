using System.Text.Json;

namespace Qbb.Cli.Registry;

/// <summary>Who works with a data folder.</summary>
internal sealed record RunningServer(string Url, string Data, int Pid);

/// <summary>Keeps a folder to one <c>qbb up</c> at a time: two would send each other's units to work twice.</summary>
internal sealed class DataFolder : IDisposable
{
    private const string Lock = "in-use";
    private const string Server = "server.json";
    private readonly FileStream _lock;

    private DataFolder(string path, FileStream taken) => (Path, _lock) = (path, taken);

    public string Path { get; }

    /// <exception cref="InvalidInputException">It cannot be made, or another process works with it.</exception>
    public static DataFolder Take(string folder)
    {
        var path = System.IO.Path.GetFullPath(folder);
        try
        {
            Directory.CreateDirectory(path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new InvalidInputException($"{folder} cannot be used ({error.Message})", "choose another folder with --data", error);
        }
        try
        {
            return new DataFolder(path, new FileStream(System.IO.Path.Combine(path, Lock), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None));
        }
        catch (UnauthorizedAccessException error)
        {
            throw new InvalidInputException($"{folder} cannot be written", "choose another folder with --data", error);
        }
        catch (IOException error)
        {
            throw new InvalidInputException($"{folder} is in use{Holder(path)}: use that one, stop it, or choose another folder with --data", error);
        }
    }

    /// <summary>Notes who works with it, for people and scripts; gone when that ends.</summary>
    public void Announce(RunningServer server) =>
        File.WriteAllText(System.IO.Path.Combine(Path, Server), JsonSerializer.Serialize(server, Wire.Json));

    public void Dispose()
    {
        File.Delete(System.IO.Path.Combine(Path, Server));
        _lock.Dispose();
    }

    private static string Holder(string path)
    {
        try
        {
            var server = JsonSerializer.Deserialize<RunningServer>(File.ReadAllText(System.IO.Path.Combine(path, Server)), Wire.Json);
            return $" by process {server?.Pid}, {server?.Url}";
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or JsonException)
        {
            return "";
        }
    }
}
