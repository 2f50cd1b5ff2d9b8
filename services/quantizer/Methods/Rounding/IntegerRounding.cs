using System.Runtime.Intrinsics;

namespace Qbb.Quantizer.Methods.Rounding;

/// <summary>
/// Symmetric integers with one fp16 scale per group: ŵ = s·q, q = clamp(round(w/s), −2^(b−1), 2^(b−1) − 1). The scale is searched: from
/// max|w|/(2^(b−1) − 1), which clips nothing, and from some that map the largest weight to about −2^(b−1), each followed by least squares for the
/// integers that it gives; the one of the smallest ‖w − ŵ‖² is kept, the first of equals. So the error is never above that of the
/// plain scale, |w − ŵ| ≤ s/2 (and 0.06·s for its rounding to fp16), and groups that were rounded like this before come back exactly.
/// </summary>
internal static class IntegerRounding
{
    /// <summary>Rounds one group.</summary>
    /// <param name="w">Finite, and in the range of fp16's normal numbers times 2^(bits − 1).</param>
    /// <param name="bits">b, 2 to 8.</param>
    /// <param name="q">As many integers.</param>
    /// <returns>s, and ‖w − ŵ‖².</returns>
    public static (Half Scale, double SquaredError) Round(ReadOnlySpan<float> w, int bits, Span<sbyte> q)
    {
        var extreme = 0f;
        foreach (var value in w)
            extreme = Math.Abs(value) > Math.Abs(extreme) ? value : extreme;
        float most = (1 << (bits - 1)) - 1;
        var best = new Candidate((Half)0, double.PositiveInfinity);
        Try(Math.Abs(extreme) / most, w, most, ref best);
        // A step of a 256th hardly matters to where the largest weight lands.
        var reach = bits == 8 ? 0 : 9;
        for (var shift = -reach; shift <= reach && best.Error > 0; shift++)
            Try(-extreme / (most + 1 + 0.1f * shift), w, most, ref best);
        var scale = (float)best.Scale;
        for (var k = 0; k < q.Length; k++)
            q[k] = scale == 0 ? (sbyte)0 : (sbyte)Math.Clamp(MathF.Round(w[k] / scale), -most - 1, most);
        return (best.Scale, best.Error);
    }

    private static void Try(float scale, ReadOnlySpan<float> w, float most, ref Candidate best)
    {
        var (error, product, square) = Measure((Half)scale, w, most);
        if (error < best.Error)
            best = new((Half)scale, error);
        if (square == 0 || error == 0)
            return;
        var fitted = (Half)(product / square);
        if (fitted == (Half)scale)
            return;
        (error, _, _) = Measure(fitted, w, most);
        if (error < best.Error)
            best = new(fitted, error);
    }

    /// <returns>‖w − s·q‖², w·q and q·q.</returns>
    private static (float Error, float Product, float Square) Measure(Half half, ReadOnlySpan<float> w, float most)
    {
        var scale = (float)half;
        var (error, product, square) = (0f, 0f, 0f);
        var column = 0;
        if (scale != 0 && w.Length >= 8)
        {
            var (errors, products, squares) = (Vector256<float>.Zero, Vector256<float>.Zero, Vector256<float>.Zero);
            var (low, high, scales) = (Vector256.Create(-most - 1), Vector256.Create(most), Vector256.Create(scale));
            for (; column + 8 <= w.Length; column += 8)
            {
                var value = Vector256.Create(w.Slice(column, 8));
                var code = Vector256.Clamp(Vector256.Round(value / scales), low, high);
                var difference = value - code * scales;
                errors += difference * difference;
                products += value * code;
                squares += code * code;
            }
            (error, product, square) = (Vector256.Sum(errors), Vector256.Sum(products), Vector256.Sum(squares));
        }
        for (; column < w.Length; column++)
        {
            var code = scale == 0 ? 0 : Math.Clamp(MathF.Round(w[column] / scale), -most - 1, most);
            var difference = w[column] - code * scale;
            error += difference * difference;
            product += w[column] * code;
            square += code * code;
        }
        return (error, product, square);
    }

    private record struct Candidate(Half Scale, double Error);
}
