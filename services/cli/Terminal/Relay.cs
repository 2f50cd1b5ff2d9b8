namespace Qbb.Cli.Terminal;

/// <summary>Progress that is told at once on the reporting thread; <see cref="Progress{T}"/> would reorder it.</summary>
internal sealed class Relay<T>(Action<T> tell) : IProgress<T>
{
    public void Report(T value) => tell(value);
}
