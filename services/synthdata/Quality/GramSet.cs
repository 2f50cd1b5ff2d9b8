namespace Qbb.Synthdata.Quality;

/// <summary>Counts distinct runs of <paramref name="length"/> tokens; keeps 8 bytes for each of the first 16.8 million runs.</summary>
internal sealed class GramSet(int length)
{
    private const int Most = 1 << 24;

    private readonly List<ulong> _keys = [];

    /// <summary>Adds the runs of one sequence; none crosses from one sequence to the next.</summary>
    public void Add(ReadOnlySpan<int> tokens)
    {
        for (var i = 0; i + length <= tokens.Length && _keys.Count < Most; i++)
            _keys.Add(Key(tokens.Slice(i, length)));
    }

    /// <summary>Distinct runs by all runs (distinct-n of Li et al. 2016).</summary>
    public double DistinctShare()
    {
        if (_keys.Count == 0)
            return 0;
        _keys.Sort();
        var distinct = 1;
        for (var i = 1; i < _keys.Count; i++)
            distinct += _keys[i] != _keys[i - 1] ? 1 : 0;
        return (double)distinct / _keys.Count;
    }

    /// <summary>64 bits that stand for some tokens: the chance that any two of 16.8 million runs share them is below 10⁻⁵.</summary>
    public static ulong Key(ReadOnlySpan<int> tokens)
    {
        var key = (ulong)tokens.Length;
        foreach (var token in tokens)
        {
            key = (key ^ (uint)token) * 0x9E3779B97F4A7C15;
            key ^= key >> 29;
        }
        return key;
    }
}
