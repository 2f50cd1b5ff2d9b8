namespace Qbb.Models.Tokenizers;

/// <summary>Split at every code point of a set: Digits, Punctuation, WhitespaceSplit and CharDelimiterSplit are this.</summary>
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
