namespace Qbb.Models.Tokenizers;

/// <summary>Split with a literal string; an empty one splits nothing.</summary>
internal sealed class LiteralSplit(string delimiter, SplitBehavior behavior, bool invert) : IPreTokenizer
{
    public void Split(in TextPiece piece, List<TextPiece> output)
    {
        var splitter = new PieceSplitter(piece, behavior, invert, output);
        var text = piece.Span;
        var position = 0;
        while (delimiter.Length > 0 && text[position..].IndexOf(delimiter, StringComparison.Ordinal) is >= 0 and var offset)
        {
            splitter.AddDelimiter(position + offset, position + offset + delimiter.Length);
            position += offset + delimiter.Length;
        }
        splitter.Finish();
    }
}
