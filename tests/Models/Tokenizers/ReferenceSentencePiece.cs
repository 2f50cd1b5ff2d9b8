using System.Text;

namespace Qbb.Models.Tests.Tokenizers;

/// <summary>SentencePiece's BPE as it is told: join the neighbours whose join has the best score, of equals the leftmost, until none is a piece.</summary>
internal static class ReferenceSentencePiece
{
    public static int[] Encode(string[] tokens, float[] scores, string text)
    {
        var ids = Enumerable.Range(0, tokens.Length).ToDictionary(id => tokens[id]);
        var symbols = text.EnumerateRunes().Select(rune => rune.ToString()).ToList();
        while (true)
        {
            var (best, at) = (float.NegativeInfinity, -1);
            for (var i = 0; i + 1 < symbols.Count; i++)
                if (ids.TryGetValue(symbols[i] + symbols[i + 1], out var id) && scores[id] > best)
                    (best, at) = (scores[id], i);
            if (at < 0)
                break;
            symbols[at] += symbols[at + 1];
            symbols.RemoveAt(at + 1);
        }
        return [.. symbols.SelectMany(symbol => ids.TryGetValue(symbol, out var id)
            ? [id]
            : Encoding.UTF8.GetBytes(symbol).Select(value => ids[$"<0x{value:X2}>"]))];
    }
}
