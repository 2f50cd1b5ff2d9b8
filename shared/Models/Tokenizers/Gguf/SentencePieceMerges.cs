namespace Qbb.Models.Tokenizers;

/// <summary>
/// The merges of a SentencePiece BPE model. It keeps a score per piece instead: of all neighbours that join to a piece, those with the best score
/// are joined first. So every way to split every piece is a merge, in the order of the pieces' scores (as transformers converts such models).
/// </summary>
internal static class SentencePieceMerges
{
    /// <summary>Longer pieces are never made by merges: none of the real models has one half as long.</summary>
    private const int MaximumLength = 256;

    public static IEnumerable<string> Of(GgufVocabulary vocabulary)
    {
        var scores = vocabulary.Scores();
        var lookup = vocabulary.Ids.GetAlternateLookup<ReadOnlySpan<char>>();
        var merges = new List<(int Id, int Split)>();
        for (var id = 0; id < vocabulary.Tokens.Count; id++)
        {
            var token = vocabulary.Tokens[id];
            // Texts have ▁ for a space by then, so a piece with a space is only ever found as an added token.
            if (token.Length > MaximumLength || token.Contains(' '))
                continue;
            for (var split = 1; split < token.Length; split++)
                if (lookup.ContainsKey(token.AsSpan(0, split)) && lookup.ContainsKey(token.AsSpan(split)))
                    merges.Add((id, split));
        }
        return merges
            .OrderByDescending(merge => scores[merge.Id])
            .ThenByDescending(merge => merge.Split)
            .ThenByDescending(merge => vocabulary.Tokens[merge.Id].Length)
            .Select(merge => $"{vocabulary.Tokens[merge.Id][..merge.Split]} {vocabulary.Tokens[merge.Id][merge.Split..]}");
    }
}
