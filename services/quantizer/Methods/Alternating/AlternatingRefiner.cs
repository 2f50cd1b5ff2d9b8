using Qbb.Recipes;

namespace Qbb.Quantizer.Methods.Alternating;

/// <summary>
/// Alternating refinement of one group: scales and bias by least squares given the signs, then for every weight the nearest of the
/// 2^N levels, in turn, until nothing changes or the rounds are over; the last step is a least squares. No step raises the error.
/// Works on sorted weights (<see cref="SortedGroup"/>); <see cref="ReferenceAlternating"/> is the plain form.
/// </summary>
internal sealed class AlternatingRefiner
{
    /// <summary>Rounds that every start gets.</summary>
    public const int ProbeRounds = 2;

    /// <summary>
    /// Starts that get all rounds: the init, which is slow to improve but often ends best where tails are heavy, and the best others.
    /// </summary>
    public const int Survivors = 3;

    private readonly int _rounds;
    private readonly Starts _starts;
    private readonly bool _bias;
    private readonly SortedGroup _group;
    private readonly NormalEquations _equations;
    private readonly LevelOrder _levels;
    private readonly int[] _bounds;
    private readonly int[] _previous;
    private readonly Candidate[] _candidates;
    private readonly double[] _trial;

    public AlternatingRefiner(int bases, bool bias, int rounds, Starts starts, int capacity)
    {
        (_rounds, _starts, _bias) = (rounds, starts, bias);
        _group = new SortedGroup(capacity);
        _equations = new NormalEquations(bases, bias);
        _levels = new LevelOrder(bases);
        _bounds = new int[1 + _levels.Thresholds.Length];
        _previous = new int[_bounds.Length];
        _trial = new double[bases];
        _candidates = Enumerable.Range(0, 1 + UniformStart.Clips.Length).Select(start => new Candidate(start, bases)).ToArray();
    }

    /// <summary>Lets a test follow the objective: called with the number of the start, the round and Σ h·(w − ŵ)² after its least squares.</summary>
    public Action<int, int, double>? Trace { get; set; }

    /// <summary>Replaces the fit of a group, whose signs are the init's, by a refined one; returns its Σ h·(w − ŵ)² in double, before rounding.</summary>
    /// <param name="w">[g]</param>
    /// <param name="fit">Changed.</param>
    /// <param name="importance">h [g], positive; empty for 1 each, always or never with one refiner.</param>
    public double Refine(ReadOnlySpan<float> w, GroupFit fit, ReadOnlySpan<double> importance = default)
    {
        _group.Load(w, importance);
        var count = 0;
        if (_starts != Starts.Uniform)
        {
            var greedy = _candidates[count++];
            _equations.Count(w, fit.Codes, importance);
            _equations.Prepare();
            greedy.Objective = double.PositiveInfinity;
            Improve(greedy);
            Trace?.Invoke(0, 0, greedy.Objective);
            if (_rounds == 0)
                return Take(greedy, fit);
        }
        if (_starts != Starts.Greedy)
        {
            foreach (var clip in UniformStart.Clips)
            {
                var grid = _candidates[count++];
                grid.Beta = UniformStart.Levels(_group.Smallest, _group.Largest, clip, _bias, grid.Alpha);
                grid.Objective = double.PositiveInfinity;
            }
        }
        var best = Best(count);
        Assign(best.Alpha, best.Beta);
        WriteCodes(fit.Codes);
        return Take(best, fit);
    }

    /// <summary>
    /// Sets every sign to that of the level nearest to its weight, for the group of the last <see cref="Refine"/> and the fit's present
    /// scales.
    /// </summary>
    public void Reassign(GroupFit fit)
    {
        Assign(fit.Alpha, fit.Beta);
        WriteCodes(fit.Codes);
    }

    private void Run(Candidate candidate, int first, int last)
    {
        for (var round = first; round <= last; round++)
        {
            var reordered = Assign(candidate.Alpha, candidate.Beta);
            if (round > first && !reordered && _bounds.AsSpan().SequenceEqual(_previous))
                break;
            _bounds.CopyTo(_previous, 0);
            for (var k = 0; k < _levels.Codes.Length; k++)
            {
                var code = _levels.Codes[k];
                _equations.Counts[code] = _group.Mass(_bounds[k], _bounds[k + 1]);
                _equations.Sums[code] = _group.Sum(_bounds[k], _bounds[k + 1]);
            }
            _equations.Prepare();
            Improve(candidate);
            Trace?.Invoke(candidate.Start, round, candidate.Objective);
        }
    }

    /// <summary>A few rounds for all starts, the rest for the init and the most promising grids.</summary>
    private Candidate Best(int count)
    {
        var starts = _candidates.AsSpan(0, count);
        if (count > Survivors)
        {
            foreach (var candidate in starts)
                Run(candidate, 1, Math.Min(_rounds, ProbeRounds));
            // Stable, so the choice is one and the same always.
            var kept = _starts == Starts.Both ? 1 : 0;
            for (var k = kept + 1; k < count; k++)
            {
                for (var place = k; place > kept && starts[place].Objective < starts[place - 1].Objective; place--)
                    (starts[place], starts[place - 1]) = (starts[place - 1], starts[place]);
            }
            starts = starts[..Survivors];
        }
        var best = starts[0];
        foreach (var candidate in starts)
        {
            Run(candidate, count > Survivors ? ProbeRounds + 1 : 1, _rounds);
            if (candidate.Objective < best.Objective)
                best = candidate;
        }
        return best;
    }

    private static double Take(Candidate candidate, GroupFit fit)
    {
        candidate.Alpha.CopyTo(fit.Alpha, 0);
        fit.Beta = candidate.Beta;
        fit.Normalize();
        return candidate.Objective;
    }

    /// <summary>Intervals of the nearest level; true where the order of the levels changed since the last call.</summary>
    private bool Assign(ReadOnlySpan<double> alpha, double beta)
    {
        var reordered = _levels.Update(alpha, beta);
        _group.CountBelow(_levels.Thresholds, _bounds.AsSpan(1));
        return reordered;
    }

    /// <summary>
    /// Least squares for the prepared equations. The ridge and rounding can make it worse by a hair: then the old scales stay.
    /// </summary>
    private void Improve(Candidate candidate)
    {
        var beta = 0.0;
        _equations.Solve(_trial, ref beta);
        var objective = _equations.Objective(_trial, beta, _group.Squares);
        if (!double.IsPositiveInfinity(candidate.Objective))
        {
            var kept = _equations.Objective(candidate.Alpha, candidate.Beta, _group.Squares);
            if (kept < objective)
            {
                candidate.Objective = kept;
                return;
            }
        }
        candidate.Objective = objective;
        candidate.Beta = beta;
        _trial.CopyTo(candidate.Alpha, 0);
    }

    private void WriteCodes(Span<byte> codes)
    {
        for (var k = 0; k < _levels.Codes.Length; k++)
        {
            var code = (byte)_levels.Codes[k];
            for (var place = _bounds[k]; place < _bounds[k + 1]; place++)
                codes[_group.Column(place)] = code;
        }
    }

    private sealed class Candidate(int start, int bases)
    {
        public int Start => start;

        public double[] Alpha { get; } = new double[bases];

        public double Beta { get; set; }

        public double Objective { get; set; }
    }
}
