namespace Qbb.Models.Tokenizers;

/// <summary>Pre-tokenizers one after the other, each on the pieces of the one before.</summary>
internal sealed class PreTokenizerSequence(IReadOnlyList<IPreTokenizer> items) : IPreTokenizer
{
    public void Split(in TextPiece piece, List<TextPiece> output)
    {
        var pieces = new List<TextPiece> { piece };
        var next = new List<TextPiece>();
        foreach (var item in items)
        {
            foreach (var part in pieces)
                item.Split(part, next);
            (pieces, next) = (next, pieces);
            next.Clear();
        }
        output.AddRange(pieces);
    }
}
