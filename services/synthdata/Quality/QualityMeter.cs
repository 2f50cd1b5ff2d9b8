using Qbb.Synthdata.Data;

namespace Qbb.Synthdata.Quality;

/// <summary>
/// Gathers the figures of a <see cref="QualityReport"/> sequence by sequence; memory is bounded whatever the amount of data.
/// </summary>
/// <param name="vocabularySize">All tokens lie below.</param>
internal sealed class QualityMeter(int vocabularySize)
{
    private readonly long[] _unigrams = new long[vocabularySize];
    private readonly GramSet _pairs = new(2);
    private readonly GramSet _triples = new(3);
    private readonly HashSet<ulong> _sequences = [];
    private double _repetition;
    private int _broken;
    private bool _decoded;

    /// <summary>Counts a sequence that is kept.</summary>
    public void Keep(ReadOnlySpan<int> tokens, SequenceQuality quality)
    {
        foreach (var token in tokens)
            _unigrams[token]++;
        _pairs.Add(tokens);
        _triples.Add(tokens);
        _sequences.Add(GramSet.Key(tokens));
        Kept++;
        _repetition += quality.Repetition;
        CountBroken(quality);
    }

    /// <summary>Counts a sequence that was left out.</summary>
    public void Drop(DroppedSequence dropped)
    {
        Dropped.Add(dropped);
        CountBroken(dropped.Quality);
    }

    public int Kept { get; private set; }

    public List<DroppedSequence> Dropped { get; } = [];

    public long Tokens => _unigrams.Sum();

    public QualityReport Report()
    {
        var tokens = Tokens;
        var report = new QualityReport(
            Kept + Dropped.Count,
            Kept,
            Kept == 0 ? 0 : _repetition / Kept,
            tokens == 0 ? 0 : (double)_unigrams.Count(count => count > 0) / tokens,
            _pairs.DistinctShare(),
            _triples.DistinctShare(),
            Entropy(tokens),
            Kept - _sequences.Count,
            _decoded ? (double)_broken / (Kept + Dropped.Count) : null,
            []);
        return report with { Warnings = [.. QualityWarnings.For(report, Dropped, tokens, vocabularySize)] };
    }

    private void CountBroken(SequenceQuality quality)
    {
        _decoded |= quality.Broken is not null;
        _broken += quality.Broken > 0 ? 1 : 0;
    }

    private double Entropy(long tokens)
    {
        var sum = 0.0;
        foreach (var count in _unigrams)
        {
            if (count > 0)
                sum -= (double)count / tokens * Math.Log2((double)count / tokens);
        }
        return sum;
    }
}
