using Qbb.Quantizer.Methods.Alternating;
using Qbb.Recipes;

namespace Qbb.Quantizer.Methods.Nested;

/// <summary>
/// Finds the planes of one group that serve all n from 1 to N: least J = Σ_n λ_n·Σ_j h_j (w_j − ŵ_n,j)², by turns for every n its scales and
/// bias by least squares given the signs, and for every weight the code of least cost (<see cref="NestedLevels"/>). No step raises J. Two
/// starts, of which the better is kept: plane after plane, each the best addition to those before it, the first being the best single one;
/// and the planes of the best fit with N bases.
/// </summary>
internal sealed class NestedRefiner
{
    /// <summary>Rounds in which a new plane is fitted to those before it, in the first start.</summary>
    public const int PlaneRounds = 4;

    private readonly int _bases;
    private readonly int _rounds;
    private readonly Starts _starts;
    private readonly SortedGroup _group;
    private readonly NestedLevels _levels;
    private readonly NormalEquations[] _equations;
    private readonly NestedFit _other;
    private readonly double[] _trial;
    private readonly double[] _values;
    private readonly double[] _counts;
    private readonly double[] _sums;
    private readonly int[] _bounds;
    private readonly int[] _previousBounds;
    private readonly int[] _previousCodes;

    public NestedRefiner(int bases, bool bias, int rounds, Starts starts, int capacity)
    {
        (_bases, _rounds, _starts) = (bases, rounds, starts);
        _group = new SortedGroup(capacity);
        _levels = new NestedLevels(bases);
        _equations = [.. Enumerable.Range(1, bases).Select(count => new NormalEquations(count, bias))];
        _other = new NestedFit(bases, capacity);
        _trial = new double[bases];
        _values = new double[1 << bases];
        _counts = new double[1 << bases];
        _sums = new double[1 << bases];
        _bounds = new int[1 + _levels.Thresholds.Length];
        _previousBounds = new int[_bounds.Length];
        _previousCodes = new int[1 << bases];
    }

    /// <summary>Lets a test follow the objective: called with the start (0 or 1) and J after every least squares of all n.</summary>
    public Action<int, double>? Trace { get; set; }

    /// <summary>Fits a group; returns its J in double, before rounding. The signs want a <see cref="Assign"/> after.</summary>
    /// <param name="w">[g]</param>
    /// <param name="importance">h [g], positive; empty for 1 each, always or never with one refiner.</param>
    /// <param name="weights">λ [N], positive.</param>
    /// <param name="single">Signs [g] of the best fit with one basis, bit 0.</param>
    /// <param name="all">Codes [g] of the best fit with N bases, scales falling.</param>
    /// <param name="fit">Result.</param>
    public double Refine(
        ReadOnlySpan<float> w, ReadOnlySpan<double> importance, ReadOnlySpan<double> weights, ReadOnlySpan<byte> single, ReadOnlySpan<byte> all,
        NestedFit fit)
    {
        _group.Load(w, importance);
        fit.Resize(w.Length);
        _other.Resize(w.Length);
        var best = double.PositiveInfinity;
        if (_starts != Starts.Uniform)
        {
            PlaneByPlane(w, importance, single, fit);
            best = Run(0, w, importance, weights, fit);
        }
        if (_starts == Starts.Greedy)
            return best;
        all.CopyTo(_other.Codes);
        var objective = Run(1, w, importance, weights, _other);
        if (objective >= best)
            return best;
        for (var count = 0; count < _bases; count++)
        {
            _other.Alpha[count].CopyTo(fit.Alpha[count], 0);
            (fit.Beta[count], fit.Errors[count]) = (_other.Beta[count], _other.Errors[count]);
        }
        return objective;
    }

    /// <summary>Sets every code to the best one for the group of the last <see cref="Refine"/> and the fit's present scales.</summary>
    public void Assign(ReadOnlySpan<double> weights, NestedFit fit)
    {
        FindIntervals(weights, fit);
        for (var k = 0; k < _levels.Count; k++)
        {
            for (var place = _bounds[k]; place < _bounds[k + 1]; place++)
                fit.Codes[_group.Column(place)] = (byte)_levels.Codes[k];
        }
    }

    /// <summary>The first start: plane n is fitted to planes 1 … n − 1, which stay.</summary>
    private void PlaneByPlane(ReadOnlySpan<float> w, ReadOnlySpan<double> importance, ReadOnlySpan<byte> single, NestedFit fit)
    {
        for (var j = 0; j < w.Length; j++)
            fit.Codes[j] = (byte)(single[j] & 1);
        for (var count = 1; count <= _bases; count++)
        {
            var (alpha, bit) = (fit.Alpha[count - 1], 1 << count - 1);
            if (count > 1)
            {
                fit.Alpha[count - 2].CopyTo(alpha, 0);
                alpha[^1] = 1;
                fit.Beta[count - 1] = fit.Beta[count - 2];
            }
            for (var round = 0; round <= PlaneRounds; round++)
            {
                if (count > 1)
                    Add(w, fit, count, bit);
                var beta = 0.0;
                _equations[count - 1].Count(w, fit.Codes, importance);
                _equations[count - 1].Prepare();
                _equations[count - 1].Solve(alpha, ref beta);
                fit.Beta[count - 1] = beta;
                if (count == 1)
                    break;
            }
        }
    }

    /// <summary>The sign of a new plane: that of what the others leave over, times the sign of its scale.</summary>
    private void Add(ReadOnlySpan<float> w, NestedFit fit, int count, int bit)
    {
        var alpha = fit.Alpha[count - 1].AsSpan();
        GroupFit.Levels(alpha[..^1], fit.Beta[count - 1], _values);
        for (var j = 0; j < w.Length; j++)
        {
            var old = fit.Codes[j] & bit - 1;
            var positive = w[j] - _values[old] >= 0 == alpha[^1] >= 0;
            fit.Codes[j] = (byte)(old | (positive ? bit : 0));
        }
    }

    private double Run(int start, ReadOnlySpan<float> w, ReadOnlySpan<double> importance, ReadOnlySpan<double> weights, NestedFit fit)
    {
        _equations[^1].Count(w, fit.Codes, importance);
        _equations[^1].Counts.CopyTo(_counts, 0);
        _equations[^1].Sums.CopyTo(_sums, 0);
        Array.Fill(fit.Errors, double.PositiveInfinity);
        var objective = LeastSquares(weights, fit);
        Trace?.Invoke(start, objective);
        for (var round = 0; round < _rounds; round++)
        {
            FindIntervals(weights, fit);
            if (round > 0 && _bounds.AsSpan().SequenceEqual(_previousBounds) && _levels.Codes.AsSpan().SequenceEqual(_previousCodes))
                break;
            _bounds.CopyTo(_previousBounds, 0);
            _levels.Codes.CopyTo(_previousCodes, 0);
            Array.Clear(_counts);
            Array.Clear(_sums);
            for (var k = 0; k < _levels.Count; k++)
            {
                _counts[_levels.Codes[k]] = _group.Mass(_bounds[k], _bounds[k + 1]);
                _sums[_levels.Codes[k]] = _group.Sum(_bounds[k], _bounds[k + 1]);
            }
            objective = LeastSquares(weights, fit);
            Trace?.Invoke(start, objective);
        }
        return objective;
    }

    private void FindIntervals(ReadOnlySpan<double> weights, NestedFit fit)
    {
        _levels.Update(fit.Alpha, fit.Beta, weights);
        _group.CountBelow(_levels.Thresholds, _bounds.AsSpan(1));
    }

    /// <summary>Scales and biases of every n from the counts and sums of the codes; returns J.</summary>
    private double LeastSquares(ReadOnlySpan<double> weights, NestedFit fit)
    {
        var objective = 0.0;
        for (var count = _bases; count >= 1; count--)
        {
            var equations = _equations[count - 1];
            Fold(_counts, equations.Counts);
            Fold(_sums, equations.Sums);
            equations.Prepare();
            var trial = _trial.AsSpan(0, count);
            var beta = 0.0;
            equations.Solve(trial, ref beta);
            var error = equations.Objective(trial, beta, _group.Squares);
            // The ridge and rounding can make it worse by a hair: then the old scales stay.
            var kept = double.IsPositiveInfinity(fit.Errors[count - 1])
                ? error
                : equations.Objective(fit.Alpha[count - 1], fit.Beta[count - 1], _group.Squares);
            if (error <= kept)
            {
                trial.CopyTo(fit.Alpha[count - 1]);
                fit.Beta[count - 1] = beta;
            }
            fit.Errors[count - 1] = Math.Min(error, kept);
            objective += weights[count - 1] * fit.Errors[count - 1];
        }
        return objective;
    }

    /// <summary>Sums over all codes that agree in their low bits.</summary>
    private static void Fold(double[] from, double[] to)
    {
        Array.Clear(to);
        for (var code = 0; code < from.Length; code++)
            to[code & to.Length - 1] += from[code];
    }
}
