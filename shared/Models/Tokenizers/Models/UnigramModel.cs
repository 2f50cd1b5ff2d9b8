using System.Text;

namespace Qbb.Models.Tokenizers;

/// <summary>Unigram (SentencePiece): of all ways to cut a word into tokens the one with the greatest sum of scores (logarithms of probabilities).</summary>
internal sealed class UnigramModel : WordModel
{
    /// <summary>How much worse than the worst token an unknown character scores.</summary>
    private const double UnknownPenalty = 10;

    private readonly TextTrie trie = new();
    private readonly Dictionary<string, int> ids = [];
    private readonly double[] scores;
    private readonly double unknownScore;
    private readonly int? unknownId;
    private readonly bool byteFallback;

    /// <param name="tokens">With their scores, in the order of their ids; of a token that comes twice the last counts.</param>
    /// <param name="unknownId">For characters without a token; null makes them an error.</param>
    /// <param name="byteFallback">An unknown run becomes the tokens &lt;0x00&gt; … of its bytes, if all are there.</param>
    /// <param name="mapBytes">As for <see cref="WordModel"/>.</param>
    public UnigramModel(IReadOnlyList<(string Token, double Score)> tokens, int? unknownId, bool byteFallback, bool mapBytes)
        : base(mapBytes)
    {
        (this.unknownId, this.byteFallback) = (unknownId, byteFallback);
        scores = [.. tokens.Select(token => token.Score)];
        unknownScore = scores.DefaultIfEmpty(double.PositiveInfinity).Min() - UnknownPenalty;
        for (var id = 0; id < tokens.Count; id++)
        {
            ids[tokens[id].Token] = id;
            trie.Set(tokens[id].Token, id);
        }
    }

    protected override int[] Encode(string word)
    {
        // What is unknown comes as one run, be it one character or several; a run that happens to be a token is that token.
        var result = new List<int>();
        var cuts = BestCuts(word);
        for (var i = 0; i < cuts.Count; i++)
        {
            var (start, end, id) = cuts[i];
            while (id == unknownId && i + 1 < cuts.Count && cuts[i + 1].Id == unknownId)
                end = cuts[++i].End;
            var text = word[start..end];
            if (ids.TryGetValue(text, out var known))
                result.Add(known);
            else if (!TryAddBytes(text, result))
                result.Add(Unknown());
        }
        return [.. result];
    }

    /// <summary>The tokens on the best path, from left to right (Viterbi).</summary>
    private List<(int Start, int End, int Id)> BestCuts(string word)
    {
        var best = new (double Score, int Start, int Id)[word.Length + 1];
        Array.Fill(best, (0, -1, 0));
        for (int start = 0, length; start < word.Length; start += length)
        {
            length = char.IsSurrogatePair(word, start) ? 2 : 1;
            var here = best[start].Score;
            var hasSingle = false;
            var node = TextTrie.Root;
            for (var end = start; end < word.Length && (node = trie.Next(node, word[end])) >= 0;)
            {
                end++;
                if (trie.ValueAt(node) is not (>= 0 and var id))
                    continue;
                Offer(end, scores[id] + here, start, id);
                hasSingle |= end - start == length;
            }
            if (!hasSingle)
                Offer(start + length, unknownScore + here, start, unknownId ?? -1);
        }
        var cuts = new List<(int, int, int)>();
        for (var end = word.Length; end > 0; end = best[end].Start)
            cuts.Add((best[end].Start, end, best[end].Id < 0 ? Unknown() : best[end].Id));
        cuts.Reverse();
        return cuts;

        void Offer(int end, double score, int start, int id)
        {
            if (best[end].Start < 0 || score > best[end].Score)
                best[end] = (score, start, id);
        }
    }

    private bool TryAddBytes(string text, List<int> result)
    {
        if (!byteFallback)
            return false;
        var bytes = Encoding.UTF8.GetBytes(text).Select(value => ids.GetValueOrDefault($"<0x{value:X2}>", -1)).ToArray();
        if (bytes.Contains(-1))
            return false;
        result.AddRange(bytes);
        return true;
    }

    private int Unknown() => unknownId ?? throw new InvalidInputException("the tokenizer has no unk_id, and the text needs it");
}
