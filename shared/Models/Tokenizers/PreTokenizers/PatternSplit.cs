namespace Qbb.Models.Tokenizers;

/// <summary>Split with a regular expression.</summary>
internal sealed class PatternSplit(Pattern pattern, SplitBehavior behavior, bool invert) : IPreTokenizer
{
    public void Split(in TextPiece piece, List<TextPiece> output)
    {
        var splitter = new PieceSplitter(piece, behavior, invert, output);
        var matches = pattern.Matches(piece.Span);
        while (matches.MoveNext())
            splitter.AddDelimiter(matches.Start, matches.End);
        splitter.Finish();
    }
}
