using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;

namespace Qbb.Models.Tokenizers;

/// <summary>Ids of words that came before. Bounded: what comes after it is full, or is long, is worked out each time. Thread-safe.</summary>
internal sealed class WordCache
{
    private const int MaximumWords = 100_000;
    private const int MaximumLength = 64;

    private readonly ConcurrentDictionary<string, int[]> words = new(Environment.ProcessorCount, 1000);
    private readonly ConcurrentDictionary<string, int[]>.AlternateLookup<ReadOnlySpan<char>> bySpan;
    private int count;

    public WordCache() => bySpan = words.GetAlternateLookup<ReadOnlySpan<char>>();

    public bool TryGet(ReadOnlySpan<char> word, [NotNullWhen(true)] out int[]? ids)
    {
        ids = null;
        return word.Length <= MaximumLength && bySpan.TryGetValue(word, out ids);
    }

    public void Add(ReadOnlySpan<char> word, int[] ids)
    {
        if (word.Length <= MaximumLength && Volatile.Read(ref count) < MaximumWords && bySpan.TryAdd(word, ids))
            Interlocked.Increment(ref count);
    }
}
