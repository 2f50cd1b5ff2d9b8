namespace Qbb.Models.Tokenizers;

/// <summary>SentencePiece's habit: spaces become a visible mark, one is put in front, and words start with it.</summary>
internal sealed class MetaspacePreTokenizer(string replacement, PrependScheme scheme, bool split) : IPreTokenizer
{
    private readonly LiteralSplit words = new(replacement, SplitBehavior.MergedWithNext, invert: false);

    public void Split(in TextPiece piece, List<TextPiece> output)
    {
        var text = piece.ToString().Replace(" ", replacement);
        var first = piece.FirstLength == 0 ? 0 : piece.Span[..piece.FirstLength].ToString().Replace(" ", replacement).Length;
        var prepends = scheme == PrependScheme.Always || (scheme == PrependScheme.First && piece.IsFirst);
        if (prepends && !text.StartsWith(replacement, StringComparison.Ordinal))
        {
            text = replacement + text;
            first = first == 0 ? 0 : first + replacement.Length;
        }
        var marked = TextPiece.Whole(text, first);
        if (split)
            words.Split(marked, output);
        else
            output.Add(marked);
    }
}
