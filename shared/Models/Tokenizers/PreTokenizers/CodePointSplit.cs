namespace Qbb.Models.Tokenizers;

/// <summary>Split at every code point of a set: Digits, Punctuation and WhitespaceSplit are this.</summary>
internal sealed class CodePointSplit(CodePointTester delimiters, SplitBehavior behavior) : IPreTokenizer
{
    public void Split(in TextPiece piece, List<TextPiece> output)
    {
        var splitter = new PieceSplitter(piece, behavior, invert: false, output);
        var text = piece.Span;
        for (var i = 0; i < text.Length; i++)
        {
            var length = delimiters.MatchLength(text, i);
            if (length == 0)
                continue;
            splitter.AddDelimiter(i, i + length);
            i += length - 1;
        }
        splitter.Finish();
    }
}

/// <summary>Whitespace: runs of word characters, and runs of others that are not white space; what "word" is, Rust says.</summary>
internal sealed class WordSplit : IPreTokenizer
{
    private static readonly CodePointTester Word = new(UnicodeSets.Word);
    private static readonly CodePointTester Space = new(UnicodeSets.WhiteSpace);

    public void Split(in TextPiece piece, List<TextPiece> output)
    {
        var text = piece.Span;
        for (int start = 0, stop; start < text.Length; start = stop)
        {
            var kind = KindAt(text, start, out var length);
            for (stop = start + length; stop < text.Length && KindAt(text, stop, out length) == kind;)
                stop += length;
            if (kind > 0)
                output.Add(piece.Slice(start, stop));
        }
    }

    private static int KindAt(ReadOnlySpan<char> text, int position, out int length)
    {
        length = position + 1 < text.Length && char.IsSurrogatePair(text[position], text[position + 1]) ? 2 : 1;
        return Word.MatchLength(text, position) > 0 ? 1 : Space.MatchLength(text, position) > 0 ? 0 : 2;
    }
}

/// <summary>FixedLength: so many code points a piece.</summary>
internal sealed class FixedLengthSplit(int count) : IPreTokenizer
{
    public void Split(in TextPiece piece, List<TextPiece> output)
    {
        var text = piece.Span;
        for (int start = 0, stop = 0; start < text.Length; start = stop)
        {
            for (var left = count; left > 0 && stop < text.Length; left--)
                stop += stop + 1 < text.Length && char.IsSurrogatePair(text[stop], text[stop + 1]) ? 2 : 1;
            output.Add(piece.Slice(start, stop));
        }
    }
}
