using System.Collections.Concurrent;

namespace Qbb.Models.Tokenizers;

/// <summary>What makes ids of a word. Immutable but for a cache of the words met; thread-safe.</summary>
internal abstract class WordModel
{
    /// <summary>What comes after so many, or is longer, is worked out each time.</summary>
    private const int MaximumCachedWords = 100_000;

    private const int LongestCachedWord = 64;

    private readonly ConcurrentDictionary<string, int[]>.AlternateLookup<ReadOnlySpan<char>> cache =
        new ConcurrentDictionary<string, int[]>(Environment.ProcessorCount, 1000).GetAlternateLookup<ReadOnlySpan<char>>();

    private int cached;

    /// <param name="mapBytes">True where words come as text and are to be seen as bytes in GPT-2's alphabet.</param>
    protected WordModel(bool mapBytes) => MapsBytes = mapBytes;

    public bool MapsBytes { get; }

    /// <summary>Adds the ids of one word to a list.</summary>
    public void Encode(ReadOnlySpan<char> word, List<int> output)
    {
        if (word.Length == 0)
            return;
        if (word.Length <= LongestCachedWord && cache.TryGetValue(word, out var known))
        {
            output.AddRange(known);
            return;
        }
        var ids = Encode(MapsBytes ? ByteAlphabet.Encode(word) : word.ToString());
        if (word.Length <= LongestCachedWord && Volatile.Read(ref cached) < MaximumCachedWords && cache.TryAdd(word, ids))
            Interlocked.Increment(ref cached);
        output.AddRange(ids);
    }

    /// <summary>The ids of a word that is not empty.</summary>
    protected abstract int[] Encode(string word);
}
