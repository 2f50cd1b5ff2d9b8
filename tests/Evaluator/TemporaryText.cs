namespace Qbb.Evaluator.Tests;

internal sealed class TemporaryText : IDisposable
{
    public TemporaryText(string content) => File.WriteAllText(Path, content);

    public string Path { get; } = System.IO.Path.GetTempFileName();

    public void Dispose() => File.Delete(Path);
}
