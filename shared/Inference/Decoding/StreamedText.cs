using System.Runtime.InteropServices;
using System.Text;
using Qbb.Models.Tokenizers;

namespace Qbb.Inference.Decoding;

/// <summary>
/// Text that grows token by token. A character may take several tokens, and a decoder may change the last ones: only what stays is written.
/// Ends at a stop string, which is not written. A token costs the decoding of a few tokens, however long the text is.
/// </summary>
public sealed class StreamedText
{
    /// <summary>A character takes no more tokens.</summary>
    private const int MostTokens = 8;

    private readonly Tokenizer _tokenizer;
    private readonly IReadOnlyCollection<string> _stops;
    private readonly Action<string> _write;
    private readonly StringBuilder _written = new();

    // The last tokens: first those whose text is settled, with which the others are decoded. They begin and end with a whole character.
    private readonly List<int> _ids;
    private int _settled;
    private string _start;

    // What is not written yet of the text of settled tokens; the text of the others, and how much of its beginning is written.
    private string _kept = "";
    private string _open = "";
    private int _ahead;

    /// <param name="tokenizer">The model's.</param>
    /// <param name="before">Tokens before the first, with which it is decoded; the text begins with a character that they leave open.</param>
    /// <param name="stops">Texts that end it.</param>
    /// <param name="write">Where it goes.</param>
    public StreamedText(Tokenizer tokenizer, IReadOnlyList<int> before, IReadOnlyCollection<string> stops, Action<string> write)
    {
        (_tokenizer, _stops, _write, _ids, _settled) = (tokenizer, stops, write, [.. before], before.Count);
        _start = Decode(_settled);
        while (_start.EndsWith('\uFFFD') && before.Count - _settled < MostTokens)
            _start = Decode(--_settled);
        _start = _start.TrimEnd('\uFFFD');
    }

    /// <summary>The text so far, up to a stop string.</summary>
    public string Text => _written + Tail;

    /// <summary>Its characters.</summary>
    public int Length => _written.Length + Tail.Length;

    /// <summary>Those that are written.</summary>
    public int Written => _written.Length;

    private string Tail => _kept + _open[Math.Min(_ahead, _open.Length)..];

    /// <summary>Adds a token; whether the text ends with it.</summary>
    public bool Add(int id) => AddRange([id]);

    /// <summary>Adds tokens at once; whether the text ends with them.</summary>
    public bool AddRange(IReadOnlyList<int> ids)
    {
        _ids.AddRange(ids);
        var all = Decode(_ids.Count);
        // A run of bytes that is no whole character yet may hide the one before it.
        _open = all.StartsWith(_start, StringComparison.Ordinal) ? all[_start.Length..] : "";
        if (_open.Length > 0 && _open[^1] != '\uFFFD')
            Settle();
        var tail = Tail;
        var end = _stops.Select(stop => tail.IndexOf(stop, StringComparison.Ordinal)).Where(place => place >= 0).DefaultIfEmpty(-1).Min();
        if (end >= 0)
            (_kept, _open, _ahead) = (tail[..end], "", 0);
        Write(end >= 0 ? end : Certain(tail));
        return end >= 0;
    }

    /// <summary>Writes what was kept back.</summary>
    public void End() => Write(Tail.Length);

    private void Settle()
    {
        (_kept, _open, _ahead) = (Tail, "", 0);
        _ids.RemoveRange(0, _settled);
        _settled = _ids.Count;
        _start = Decode(_settled);
    }

    private string Decode(int count) => _tokenizer.Decode(CollectionsMarshal.AsSpan(_ids)[..count], skipSpecialTokens: true);

    /// <summary>Characters that no further token changes: without a broken one at the end, and without what may become a stop string.</summary>
    private int Certain(string tail)
    {
        var length = tail.TrimEnd('\uFFFD').Length;
        var certain = length;
        foreach (var stop in _stops)
        {
            var k = Math.Min(stop.Length - 1, length);
            while (k > 0 && string.CompareOrdinal(tail, length - k, stop, 0, k) != 0)
                k--;
            certain = Math.Min(certain, length - k);
        }
        return certain;
    }

    private void Write(int count)
    {
        if (count == 0)
            return;
        var part = Tail[..count];
        _ahead += Math.Max(0, count - _kept.Length);
        _kept = _kept[Math.Min(count, _kept.Length)..];
        _written.Append(part);
        _write(part);
    }
}
