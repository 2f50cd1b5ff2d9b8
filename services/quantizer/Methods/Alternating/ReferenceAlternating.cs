using Qbb.Recipes;

namespace Qbb.Quantizer.Methods.Alternating;

/// <summary>
/// Alternating refinement as its definition has it, weight by weight and level by level: the yardstick of <see cref="AlternatingRefiner"/>.
/// </summary>
internal static class ReferenceAlternating
{
    /// <summary>Refines a group whose signs are the init's; returns its Σ h·(w − ŵ)² in double, before rounding. Empty importance h: 1 each.</summary>
    public static double Refine(ReadOnlySpan<float> w, GroupFit fit, bool bias, int rounds, Starts starts, ReadOnlySpan<double> importance = default)
    {
        var candidates = new List<Candidate>();
        if (starts != Starts.Uniform)
        {
            var greedy = new Candidate(fit.Codes.ToArray(), fit.Bases);
            greedy.LeastSquares(w, bias, importance);
            candidates.Add(greedy);
        }
        if (starts != Starts.Greedy)
        {
            var sorted = w.ToArray();
            Array.Sort(sorted);
            foreach (var clip in UniformStart.Clips)
            {
                var grid = new Candidate(new byte[w.Length], fit.Bases);
                grid.Beta = UniformStart.Levels(sorted[0], sorted[^1], clip, bias, grid.Alpha);
                candidates.Add(grid);
            }
        }
        if (candidates.Count > AlternatingRefiner.Survivors)
        {
            var probe = Math.Min(rounds, AlternatingRefiner.ProbeRounds);
            foreach (var candidate in candidates)
                candidate.Run(w, bias, probe, importance);
            var kept = candidates.Take(starts == Starts.Both ? 1 : 0).ToList();
            var others = candidates.Skip(kept.Count).OrderBy(candidate => candidate.Objective);
            candidates = [.. kept, .. others.Take(AlternatingRefiner.Survivors - kept.Count)];
            rounds -= probe;
        }
        foreach (var candidate in candidates)
            candidate.Run(w, bias, rounds, importance);
        var best = candidates.MinBy(candidate => candidate.Objective)!;
        best.Alpha.CopyTo(fit.Alpha, 0);
        best.Codes.CopyTo(fit.Codes);
        fit.Beta = best.Beta;
        fit.Normalize();
        return best.Objective;
    }

    /// <summary>The code of the level nearest to every weight.</summary>
    public static void Nearest(ReadOnlySpan<float> w, ReadOnlySpan<double> alpha, double beta, Span<byte> codes)
    {
        for (var j = 0; j < w.Length; j++)
        {
            var best = double.PositiveInfinity;
            for (var code = 0; code < 1 << alpha.Length; code++)
            {
                var distance = Math.Abs(w[j] - Value(code, alpha, beta));
                if (distance < best)
                    (best, codes[j]) = (distance, (byte)code);
            }
        }
    }

    /// <summary>The scales of least Σ h·(w − ŵ)² for given signs, by Gauss-Jordan elimination of the normal equations with a small ridge; returns the bias.</summary>
    public static double LeastSquares(ReadOnlySpan<float> w, ReadOnlySpan<byte> codes, bool bias, Span<double> alpha, ReadOnlySpan<double> importance = default)
    {
        var unknowns = alpha.Length + (bias ? 1 : 0);
        var matrix = new double[unknowns, unknowns + 1];
        var mass = 0.0;
        for (var j = 0; j < w.Length; j++)
        {
            var h = importance.IsEmpty ? 1 : importance[j];
            mass += h;
            for (var i = 0; i < unknowns; i++)
            {
                for (var k = 0; k < unknowns; k++)
                    matrix[i, k] += h * Sign(codes[j], i, alpha.Length) * Sign(codes[j], k, alpha.Length);
                matrix[i, unknowns] += h * Sign(codes[j], i, alpha.Length) * w[j];
            }
        }
        for (var i = 0; i < unknowns; i++)
            matrix[i, i] += NormalEquations.Ridge * mass;
        for (var i = 0; i < unknowns; i++)
        {
            for (var row = 0; row < unknowns; row++)
            {
                if (row == i)
                    continue;
                var factor = matrix[row, i] / matrix[i, i];
                for (var k = i; k <= unknowns; k++)
                    matrix[row, k] -= factor * matrix[i, k];
            }
        }
        for (var i = 0; i < alpha.Length; i++)
            alpha[i] = matrix[i, unknowns] / matrix[i, i];
        return bias ? matrix[alpha.Length, unknowns] / matrix[alpha.Length, alpha.Length] : 0;
    }

    /// <summary>Σ h·(w − ŵ)².</summary>
    public static double SquaredError(ReadOnlySpan<float> w, ReadOnlySpan<byte> codes, ReadOnlySpan<double> alpha, double beta, ReadOnlySpan<double> importance = default)
    {
        var sum = 0.0;
        for (var j = 0; j < w.Length; j++)
        {
            var error = w[j] - Value(codes[j], alpha, beta);
            sum += (importance.IsEmpty ? 1 : importance[j]) * error * error;
        }
        return sum;
    }

    private static double Value(int code, ReadOnlySpan<double> alpha, double beta)
    {
        var value = beta;
        for (var i = 0; i < alpha.Length; i++)
            value += Sign(code, i, alpha.Length) * alpha[i];
        return value;
    }

    /// <summary>±1 of a basis; 1 for the bias, which stands behind the last one.</summary>
    private static double Sign(int code, int index, int bases) => index == bases || (code >> index & 1) == 1 ? 1 : -1;

    private sealed class Candidate(byte[] codes, int bases)
    {
        public byte[] Codes => codes;

        public double[] Alpha { get; } = new double[bases];

        public double Beta { get; set; }

        public double Objective { get; private set; }

        public void Run(ReadOnlySpan<float> w, bool bias, int rounds, ReadOnlySpan<double> importance)
        {
            for (var round = 0; round < rounds; round++)
            {
                Nearest(w, Alpha, Beta, codes);
                LeastSquares(w, bias, importance);
            }
        }

        public void LeastSquares(ReadOnlySpan<float> w, bool bias, ReadOnlySpan<double> importance)
        {
            Beta = ReferenceAlternating.LeastSquares(w, codes, bias, Alpha, importance);
            Objective = SquaredError(w, codes, Alpha, Beta, importance);
        }
    }
}
