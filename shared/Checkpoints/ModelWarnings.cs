namespace Qbb.Checkpoints;

/// <summary>
/// What readers of models report without failing: a setting that has no effect, an index that does not fit its shards. Whoever opens
/// models listens around that (a command prints, a service logs); without a listener nothing happens.
/// </summary>
public static class ModelWarnings
{
    private static readonly AsyncLocal<Listener?> s_listener = new();

    /// <summary>Hears the warnings of everything that this flow of control opens until the result is disposed, each text once.</summary>
    /// <param name="hear">May be called from several threads, never at once.</param>
    public static IDisposable Listen(Action<string> hear) => s_listener.Value = new Listener(hear, s_listener.Value);

    /// <summary>Reports a warning; it names the file and the thing, and says what is done about it.</summary>
    public static void Report(string message) => s_listener.Value?.Hear(message);

    /// <summary>Some of many names, for a message.</summary>
    public static string Some(IReadOnlyCollection<string> names) =>
        string.Join(", ", names.Take(5).Select(Printable.Name)) + (names.Count > 5 ? ", …" : "");

    private sealed class Listener(Action<string> hear, Listener? outer) : IDisposable
    {
        private readonly HashSet<string> _heard = new(StringComparer.Ordinal);

        public void Hear(string message)
        {
            lock (_heard)
            {
                if (_heard.Add(message))
                    hear(message);
            }
        }

        public void Dispose() => s_listener.Value = outer;
    }
}
