using System.Buffers;

namespace Qbb.Models.Tokenizers;

/// <summary>Merges the symbols of a word: always the pair of lowest rank, the leftmost of equals.</summary>
internal static class SymbolMerger
{
    /// <summary>Up to here looking at every pair is faster than a queue.</summary>
    private const int ShortWord = 48;

    /// <summary>Merges in place.</summary>
    /// <returns>How many symbols are left, from the start of the span.</returns>
    public static int Merge(MergeTable merges, Span<int> symbols) =>
        symbols.Length <= ShortWord ? MergeShort(merges, symbols) : MergeLong(merges, symbols);

    private static int MergeShort(MergeTable merges, Span<int> symbols)
    {
        Span<int> ranks = stackalloc int[ShortWord];
        var count = symbols.Length;
        for (var i = 0; i + 1 < count; i++)
            ranks[i] = merges.RankOf(symbols[i], symbols[i + 1]);
        while (count > 1)
        {
            var best = 0;
            for (var i = 1; i + 1 < count; i++)
                if (ranks[i] < ranks[best])
                    best = i;
            if (ranks[best] == MergeTable.None)
                break;
            symbols[best] = merges.ResultOf(ranks[best]);
            count--;
            symbols[(best + 2)..(count + 1)].CopyTo(symbols[(best + 1)..]);
            ranks[(best + 1)..count].CopyTo(ranks[best..]);
            if (best > 0)
                ranks[best - 1] = merges.RankOf(symbols[best - 1], symbols[best]);
            if (best + 1 < count)
                ranks[best] = merges.RankOf(symbols[best], symbols[best + 1]);
        }
        return count;
    }

    /// <summary>A linked list of symbols and a queue of pairs, so that a text of a million characters takes n log n.</summary>
    internal static int MergeLong(MergeTable merges, Span<int> symbols)
    {
        var count = symbols.Length;
        var rented = ArrayPool<int>.Shared.Rent(3 * count);
        var next = rented.AsSpan(0, count);
        var previous = rented.AsSpan(count, count);
        var ranks = rented.AsSpan(2 * count, count);
        var queue = new PairQueue(count);
        for (var i = 0; i < count; i++)
        {
            next[i] = i + 1;
            previous[i] = i - 1;
            ranks[i] = i + 1 < count ? merges.RankOf(symbols[i], symbols[i + 1]) : MergeTable.None;
            if (ranks[i] != MergeTable.None)
                queue.Add(ranks[i], i);
        }
        while (queue.TryTake(out var rank, out var position))
        {
            // A pair that changed since it was queued has another rank by now.
            if (ranks[position] != rank)
                continue;
            var right = next[position];
            symbols[position] = merges.ResultOf(rank);
            next[position] = next[right];
            ranks[right] = MergeTable.None;
            if (next[position] < count)
                previous[next[position]] = position;
            Update(position, symbols, next, ranks, queue);
            if (previous[position] >= 0)
                Update(previous[position], symbols, next, ranks, queue);
        }
        var left = 0;
        for (var i = 0; i < count; i = next[i])
            symbols[left++] = symbols[i];
        ArrayPool<int>.Shared.Return(rented);
        return left;

        void Update(int position, Span<int> symbols, Span<int> next, Span<int> ranks, PairQueue queue)
        {
            var right = next[position];
            ranks[position] = right < count ? merges.RankOf(symbols[position], symbols[right]) : MergeTable.None;
            if (ranks[position] != MergeTable.None)
                queue.Add(ranks[position], position);
        }
    }
}
