using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Qbb.Models.Generation;
using Qbb.Recipes;

namespace Qbb.Quantizer.Methods.Alternating;

/// <summary>The starting signs of a group, and the numbers that they are the signs of. sign(0) is +1.</summary>
internal static class InitialSigns
{
    /// <summary>For four bits the word whose four bytes are those bits.</summary>
    private static readonly uint[] BitInEachByte = Enumerable.Range(0, 16).Select(bits =>
        (uint)(bits & 1 | (bits & 2) << 7 | (bits & 4) << 14 | (bits & 8) << 21)).ToArray();

    /// <summary>
    /// Equations 2 and 3 of the QBB paper: R_1 = w, B_i = sign(R_i), α_i = mean|R_i|, R_{i+1} = R_i − α_i·B_i. Returns in
    /// <paramref name="squares"/> [N] what is left of ‖w‖² after each basis. Four weights at a time; <see cref="ReferenceCascaded"/> is the
    /// plain form.
    /// </summary>
    public static void Cascaded(ReadOnlySpan<float> w, GroupFit fit, Span<double> residual, Span<double> squares)
    {
        fit.Resize(w.Length);
        var codes = fit.Codes;
        codes.Clear();
        for (var j = 0; j < w.Length; j++)
            residual[j] = w[j];
        residual = residual[..w.Length];
        var whole = w.Length & ~3;
        for (var basis = 0; basis < fit.Bases; basis++)
        {
            var sums = Vector256<double>.Zero;
            for (var j = 0; j < whole; j += 4)
                sums += Vector256.Abs(Vector256.Create<double>(residual[j..]));
            var sum = Vector256.Sum(sums);
            for (var j = whole; j < residual.Length; j++)
                sum += Math.Abs(residual[j]);

            var latent = fit.Latent(basis);
            var alpha = fit.Alpha[basis] = sum / w.Length;
            var scale = Vector256.Create(alpha);
            var left = Vector256<double>.Zero;
            for (var j = 0; j < whole; j += 4)
            {
                var before = Vector256.Create<double>(residual[j..]);
                Vector128.Narrow(before.GetLower(), before.GetUpper()).CopyTo(latent[j..]);
                var positive = Vector256.GreaterThanOrEqual(before, Vector256<double>.Zero);
                var four = MemoryMarshal.Cast<byte, uint>(codes[j..])[..1];
                four[0] |= BitInEachByte[(int)positive.ExtractMostSignificantBits()] << basis;
                var after = before - Vector256.ConditionalSelect(positive, scale, -scale);
                after.CopyTo(residual[j..]);
                left += after * after;
            }
            squares[basis] = Vector256.Sum(left);
            for (var j = whole; j < residual.Length; j++)
            {
                latent[j] = (float)residual[j];
                var positive = residual[j] >= 0;
                codes[j] |= (byte)((positive ? 1 : 0) << basis);
                residual[j] -= positive ? alpha : -alpha;
                squares[basis] += residual[j] * residual[j];
            }
        }
    }

    /// <summary>The plain form of <see cref="Cascaded"/>.</summary>
    public static void ReferenceCascaded(ReadOnlySpan<float> w, Span<double> alpha, Span<byte> codes)
    {
        var residual = new double[w.Length];
        for (var j = 0; j < w.Length; j++)
            residual[j] = w[j];
        codes.Clear();
        for (var basis = 0; basis < alpha.Length; basis++)
        {
            alpha[basis] = residual.Average(Math.Abs);
            for (var j = 0; j < w.Length; j++)
            {
                var positive = residual[j] >= 0;
                codes[j] |= (byte)((positive ? 1 : 0) << basis);
                residual[j] -= positive ? alpha[basis] : -alpha[basis];
            }
        }
    }

    /// <summary>
    /// Latent weights for the inits that draw numbers: <see cref="Init.Random"/> or <see cref="Init.NonCascaded"/>. The scales are left to
    /// least squares.
    /// </summary>
    public static void Drawn(Init init, ReadOnlySpan<float> w, GroupFit fit, SplitMix64 random)
    {
        fit.Resize(w.Length);
        fit.Codes.Clear();
        var squares = 0.0;
        foreach (var value in w)
            squares += (double)value * value;
        var spread = Math.Sqrt(squares / w.Length);
        for (var basis = 0; basis < fit.Bases; basis++)
        {
            var latent = fit.Latent(basis);
            for (var j = 0; j < w.Length; j++)
            {
                latent[j] = (float)(init == Init.Random ? (random.NextUniform() * 2 - 1) * spread
                    : basis == 0 ? w[j]
                    : w[j] + spread * random.NextGaussian());
                fit.Codes[j] |= (byte)((latent[j] >= 0 ? 1 : 0) << basis);
            }
        }
    }
}
