namespace Qbb.Models.Tokenizers;

/// <summary>GPT-2's pre-tokenizer: words with their leading space, then every byte as a printable character.</summary>
internal sealed class ByteLevelPreTokenizer(bool addPrefixSpace, bool useRegex, bool mapBytes) : IPreTokenizer
{
    /// <summary>GPT-2's regular expression for words.</summary>
    public const string WordPattern = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    private static readonly Lazy<Pattern> Words = new(() => new Pattern(WordPattern));

    public void Split(in TextPiece piece, List<TextPiece> output)
    {
        var source = piece;
        if (addPrefixSpace && piece.Length > 0 && piece.Span[0] != ' ')
            source = TextPiece.Whole(" " + piece.ToString(), piece.IsFirst ? piece.FirstLength + 1 : 0);
        var first = output.Count;
        if (useRegex)
        {
            var matches = Words.Value.Matches(source.Span);
            while (matches.MoveNext())
                output.Add(source.Slice(matches.Start, matches.End));
        }
        else
        {
            output.Add(source);
        }
        // The last pre-tokenizer leaves the mapping to the model, which then needs it only for words it has not met.
        for (var i = first; mapBytes && i < output.Count; i++)
            output[i] = TextPiece.Whole(ByteAlphabet.Encode(output[i].Span), ByteAlphabet.Encode(output[i].Span[..output[i].FirstLength]).Length);
    }
}
