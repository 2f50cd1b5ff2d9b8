namespace Qbb.Models.Tokenizers;

/// <summary>The added tokens: those sought in the text as it came, and those sought in the normalized text.</summary>
internal sealed class AddedVocabulary
{
    private readonly AddedTokenMatcher original;
    private readonly AddedTokenMatcher normalized;
    private readonly INormalizer? normalizer;
    private readonly Dictionary<int, string> written = [];
    private readonly HashSet<int> special = [];

    public AddedVocabulary(IReadOnlyList<AddedToken> tokens, INormalizer? normalizer)
    {
        this.normalizer = normalizer;
        // Special ones come first, as the library has them: they win where two have the same text.
        var ordered = tokens.Where(token => token.Special).Concat(tokens.Where(token => !token.Special)).ToList();
        original = new AddedTokenMatcher(ordered.Where(token => !token.Normalized).Select(token => (token.Content, token)));
        normalized = new AddedTokenMatcher(ordered.Where(token => token.Normalized).Select(token => (Normalize(token.Content), token)));
        foreach (var token in tokens)
        {
            written[token.Id] = token.Normalized ? Normalize(token.Content) : token.Content;
            if (token.Special)
                special.Add(token.Id);
        }
        Tokens = tokens;
    }

    public IReadOnlyList<AddedToken> Tokens { get; }

    public bool IsSpecial(int id) => special.Contains(id);

    /// <summary>What an added token decodes to: its text as it is sought, so the normalized one for normalized tokens; null for other ids.</summary>
    public string? TextOf(int id) => written.GetValueOrDefault(id);

    /// <summary>Cuts out the added tokens and normalizes the text between them.</summary>
    public List<TextPiece> Split(string text)
    {
        var pieces = new List<TextPiece>();
        original.Split(TextPiece.Whole(text, FirstLength(text)), pieces);
        var result = new List<TextPiece>();
        foreach (var piece in pieces)
        {
            if (piece.IsToken)
                result.Add(piece);
            else if (normalizer == null)
                normalized.Split(piece, result);
            else
            {
                var first = piece.FirstLength;
                var rewritten = normalizer.Normalize(piece.ToString(), ref first);
                normalized.Split(TextPiece.Whole(rewritten, first), result);
            }
        }
        return result;
    }

    private static int FirstLength(string text) => text.Length > 1 && char.IsSurrogatePair(text, 0) ? 2 : Math.Min(text.Length, 1);

    private string Normalize(string text) => normalizer == null ? text : normalizer.Normalize(text);
}
