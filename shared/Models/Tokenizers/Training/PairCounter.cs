using System.Runtime.InteropServices;

namespace Qbb.Models.Tokenizers;

/// <summary>How often each pair of neighbours comes in the words, and where; kept up to date while pairs are merged.</summary>
internal sealed class PairCounter
{
    private readonly List<int[]> words = [];
    private readonly List<long> frequencies = [];
    private readonly Dictionary<(int Left, int Right), long> counts = [];
    private readonly Dictionary<(int Left, int Right), List<int>> places = [];
    private readonly PriorityQueue<(int Left, int Right), (long Count, int Left, int Right)> queue = new();
    private readonly HashSet<(int Left, int Right)> changed = [];

    /// <param name="words">Symbols of each word and how often the word came.</param>
    public PairCounter(IEnumerable<(int[] Symbols, long Count)> words)
    {
        foreach (var (symbols, count) in words)
        {
            var index = this.words.Count;
            this.words.Add(symbols);
            frequencies.Add(count);
            for (var i = 0; i + 1 < symbols.Length; i++)
                Change((symbols[i], symbols[i + 1]), count, index);
        }
        QueueChanged();
    }

    /// <summary>The most frequent pair; of equals the one with the lowest ids. False when there is none left.</summary>
    public bool TryTakeBest(out (int Left, int Right) pair, out long count)
    {
        while (queue.TryDequeue(out pair, out var priority))
        {
            // Every change queues the pair anew, so an entry with another count is out of date.
            count = -priority.Count;
            if (count > 0 && counts.GetValueOrDefault(pair) == count)
                return true;
        }
        count = 0;
        return false;
    }

    /// <summary>Makes one symbol of a pair in all words.</summary>
    public void Merge((int Left, int Right) pair, int merged)
    {
        if (!places.Remove(pair, out var indices))
            return;
        foreach (var index in indices.Distinct())
            MergeWord(index, pair, merged);
        counts.Remove(pair);
        changed.Remove(pair);
        QueueChanged();
    }

    private void MergeWord(int index, (int Left, int Right) pair, int merged)
    {
        var symbols = words[index];
        var count = frequencies[index];
        var length = 0;
        for (var i = 0; i < symbols.Length; i++)
        {
            if (i + 1 == symbols.Length || symbols[i] != pair.Left || symbols[i + 1] != pair.Right)
            {
                symbols[length++] = symbols[i];
                continue;
            }
            if (length > 0)
            {
                Change((symbols[length - 1], pair.Left), -count, -1);
                Change((symbols[length - 1], merged), count, index);
            }
            if (i + 2 < symbols.Length)
            {
                Change((pair.Right, symbols[i + 2]), -count, -1);
                Change((merged, symbols[i + 2]), count, index);
            }
            symbols[length++] = merged;
            i++;
        }
        words[index] = symbols[..length];
    }

    private void Change((int Left, int Right) pair, long difference, int place)
    {
        CollectionsMarshal.GetValueRefOrAddDefault(counts, pair, out _) += difference;
        changed.Add(pair);
        if (place < 0)
            return;
        ref var list = ref CollectionsMarshal.GetValueRefOrAddDefault(places, pair, out _);
        list ??= [];
        if (list.Count == 0 || list[^1] != place)
            list.Add(place);
    }

    private void QueueChanged()
    {
        foreach (var pair in changed)
            if (counts.TryGetValue(pair, out var count) && count > 0)
                queue.Enqueue(pair, (-count, pair.Left, pair.Right));
        changed.Clear();
    }
}
