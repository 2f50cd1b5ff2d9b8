namespace Qbb.Models.Tokenizers;

/// <summary>Counts the words that GPT-2's pre-tokenizer cuts a text into.</summary>
internal sealed class WordCounter
{
    private static readonly Pattern Words = new(ByteLevelPreTokenizer.WordPattern);

    private readonly Dictionary<string, long> counts = [];
    private readonly Dictionary<string, long>.AlternateLookup<ReadOnlySpan<char>> bySpan;

    public WordCounter() => bySpan = counts.GetAlternateLookup<ReadOnlySpan<char>>();

    /// <summary>Words and how often each came, in an order that depends on the words only.</summary>
    public IEnumerable<(string Word, long Count)> Counts =>
        counts.OrderBy(pair => pair.Key, StringComparer.Ordinal).Select(pair => (pair.Key, pair.Value));

    public void Add(string text)
    {
        var words = Words.Matches(text);
        while (words.MoveNext())
        {
            var word = text.AsSpan(words.Start, words.End - words.Start);
            bySpan[word] = bySpan.TryGetValue(word, out var count) ? count + 1 : 1;
        }
    }
}
