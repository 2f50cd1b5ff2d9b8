using Qbb.Models.Tokenizers;

namespace Qbb.Cli.Terminal;

/// <summary>
/// Text that grows token by token. A character may take several tokens, and a decoder may change the last ones: only what stays is written.
/// Ends at a stop string, which is not written.
/// </summary>
/// <param name="tokenizer">The model's.</param>
/// <param name="before">Tokens before the first, with which it is decoded.</param>
/// <param name="stops">Texts that end it.</param>
/// <param name="write">Where it goes.</param>
internal sealed class StreamedText(Tokenizer tokenizer, IReadOnlyList<int> before, IReadOnlyCollection<string> stops, Action<string> write)
{
    private readonly string _start = tokenizer.Decode(before, skipSpecialTokens: true);
    private readonly List<int> _ids = [.. before];
    private string _text = "";
    private int _written;

    /// <summary>What was made so far, up to a stop string.</summary>
    public string Text => _text;

    /// <summary>Adds a token; whether the text ends with it.</summary>
    public bool Add(int id) => AddRange([id]);

    /// <summary>Adds tokens at once; whether the text ends with them.</summary>
    public bool AddRange(IReadOnlyList<int> ids)
    {
        _ids.AddRange(ids);
        var all = tokenizer.Decode(_ids, skipSpecialTokens: true);
        if (!all.StartsWith(_start, StringComparison.Ordinal))
            return false;
        _text = all[_start.Length..];
        var end = stops.Select(stop => _text.IndexOf(stop, StringComparison.Ordinal)).Where(place => place >= 0).DefaultIfEmpty(-1).Min();
        if (end >= 0)
            _text = _text[..end];
        Write(end >= 0 ? _text.Length : Certain());
        return end >= 0;
    }

    /// <summary>Writes what was kept back.</summary>
    public void End() => Write(_text.Length);

    /// <summary>Characters that no further token changes: without a broken one at the end, and without what may become a stop string.</summary>
    private int Certain()
    {
        var length = _text.TrimEnd('\uFFFD').Length;
        foreach (var stop in stops)
        {
            for (var k = Math.Min(stop.Length - 1, length); k > 0; k--)
            {
                if (string.CompareOrdinal(_text, length - k, stop, 0, k) != 0)
                    continue;
                length -= k;
                break;
            }
        }
        return length;
    }

    private void Write(int end)
    {
        if (end <= _written)
            return;
        write(_text[_written..end]);
        _written = end;
    }
}
