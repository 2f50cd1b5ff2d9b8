namespace Qbb.Models.Tokenizers;

/// <summary>WordPiece (BERT): the longest token that starts the word, then the longest that continues it, and so on; else the word is unknown.</summary>
internal sealed class WordPieceModel : WordModel
{
    private readonly Dictionary<string, int> vocabulary;
    private readonly Dictionary<string, int> continuing = [];
    private readonly string unknownToken;
    private readonly int longestWord;
    private readonly int longestToken;

    /// <param name="vocabulary">Ids by token.</param>
    /// <param name="unknownToken">For words that the vocabulary cannot spell.</param>
    /// <param name="prefix">Marks tokens that continue a word.</param>
    /// <param name="longestWord">A word of more characters is unknown.</param>
    /// <param name="mapBytes">As for <see cref="WordModel"/>.</param>
    public WordPieceModel(Dictionary<string, int> vocabulary, string unknownToken, string prefix, int longestWord, bool mapBytes)
        : base(mapBytes)
    {
        (this.vocabulary, this.unknownToken, this.longestWord) = (vocabulary, unknownToken, longestWord);
        foreach (var (token, id) in vocabulary)
        {
            longestToken = Math.Max(longestToken, token.Length);
            if (token.Length > prefix.Length && token.StartsWith(prefix, StringComparison.Ordinal))
                continuing.Add(token[prefix.Length..], id);
        }
    }

    protected override int[] Encode(string word)
    {
        if (word.Length > longestWord && word.EnumerateRunes().Count() > longestWord)
            return [Unknown()];
        var ids = new List<int>();
        for (int start = 0, length; start < word.Length; start += length)
        {
            var tokens = (start == 0 ? vocabulary : continuing).GetAlternateLookup<ReadOnlySpan<char>>();
            for (length = Math.Min(word.Length - start, longestToken); length > 0; length--)
            {
                if (!tokens.TryGetValue(word.AsSpan(start, length), out var id))
                    continue;
                ids.Add(id);
                break;
            }
            if (length <= 0)
                return [Unknown()];
        }
        return [.. ids];
    }

    private int Unknown() => vocabulary.TryGetValue(unknownToken, out var id)
        ? id
        : throw new InvalidInputException($"the tokenizer's unk_token \"{unknownToken}\" is not in its vocabulary, and the text needs it");
}
