namespace Qbb.Models.Tokenizers;

/// <summary>
/// Trains a byte-level BPE tokenizer: GPT-2's words, all 256 bytes as alphabet, then the most frequent pair merged again and again
/// (Sennrich, Haddow, Birch 2016). The same texts give the same tokenizer.
/// </summary>
public static class BpeTrainer
{
    private const int ChunkLength = 1 << 20;

    /// <summary>Trains on texts, each of which is cut into words by itself.</summary>
    /// <exception cref="InvalidInputException">The options contradict each other or leave no room for the alphabet.</exception>
    public static Tokenizer Train(IEnumerable<string> texts, BpeTrainerOptions options)
    {
        Validate(options);
        var counter = new WordCounter();
        foreach (var text in texts)
            counter.Add(text);
        return Train(counter, options);
    }

    /// <summary>Trains on one text, read in chunks that end with a line.</summary>
    /// <exception cref="InvalidInputException">The options contradict each other or leave no room for the alphabet.</exception>
    public static Tokenizer Train(TextReader text, BpeTrainerOptions options) => Train(Chunks(text), options);

    private static IEnumerable<string> Chunks(TextReader text)
    {
        var buffer = new char[ChunkLength];
        var rest = "";
        for (int read; (read = text.ReadBlock(buffer)) > 0;)
        {
            var chunk = string.Concat(rest, buffer.AsSpan(0, read));
            var end = chunk.LastIndexOf('\n') + 1;
            rest = chunk[end..];
            if (end > 0)
                yield return chunk[..end];
        }
        if (rest.Length > 0)
            yield return rest;
    }

    private static void Validate(BpeTrainerOptions options)
    {
        var least = 256 + options.SpecialTokens.Count;
        if (options.VocabularySize < least || options.VocabularySize > ModelLoader.MaximumId + 1)
            throw new InvalidInputException(
                $"a vocabulary of {options.VocabularySize} tokens cannot be trained: "
                + $"give {least} (the bytes and the special tokens) to {ModelLoader.MaximumId + 1}");
        if (options.SpecialTokens.Any(token => token.Length <= 1) || options.SpecialTokens.Distinct().Count() < options.SpecialTokens.Count)
            throw new InvalidInputException("special tokens must differ from each other and be longer than one character");
        foreach (var token in new[] { options.BeginOfSequence, options.EndOfSequence })
            if (token != null && !options.SpecialTokens.Contains(token))
                throw new InvalidInputException($"the token \"{token}\" is to be put around texts, but is not among the special tokens");
    }

    private static Tokenizer Train(WordCounter counter, BpeTrainerOptions options)
    {
        var firstByte = options.SpecialTokens.Count;
        var tokens = new List<string>(options.SpecialTokens);
        // By character, as the library orders its alphabet: printable ASCII comes first.
        var alphabet = Enumerable.Range(0, 256).Select(value => ByteAlphabet.CharacterOf((byte)value)).Order().ToList();
        tokens.AddRange(alphabet.Select(character => character.ToString()));
        var ids = Enumerable.Range(0, tokens.Count).ToDictionary(id => tokens[id]);
        var pairs = new PairCounter(counter.Counts.Select(item => (Symbols(item.Word), item.Count)));
        var merges = new List<(string Left, string Right)>();
        while (tokens.Count < options.VocabularySize && pairs.TryTakeBest(out var pair, out var count) && count >= options.MinimumFrequency)
        {
            var merged = tokens[pair.Left] + tokens[pair.Right];
            // Two pairs can spell the same token (ab+c, a+bc): the second is another merge to the same id. A special token stays apart.
            if (!ids.TryGetValue(merged, out var id))
            {
                ids.Add(merged, id = tokens.Count);
                tokens.Add(merged);
            }
            else if (id < firstByte)
            {
                continue;
            }
            merges.Add((tokens[pair.Left], tokens[pair.Right]));
            pairs.Merge(pair, id);
        }
        return Tokenizer.FromJson(TrainedTokenizerJson.Write(options, tokens, merges), "the trained tokenizer");

        int[] Symbols(string word) => [.. ByteAlphabet.Encode(word).Select(character => firstByte + alphabet.BinarySearch(character))];
    }
}
