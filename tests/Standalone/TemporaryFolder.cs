namespace Qbb.Standalone.Tests;

internal sealed class TemporaryFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("qbb-").FullName;

    public string this[string name] => System.IO.Path.Combine(Path, name);

    public string Text(string name, string content)
    {
        File.WriteAllText(this[name], content);
        return this[name];
    }

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
