namespace Qbb.Quantizer.Distillation;

/// <summary>
/// One step of a row's latent weights and its signs after it, in plain loops: v ← v − rate·u·m̂/(√ŝ + ε), u the mean |α| of the group, held
/// between the outermost levels; then the signs of the level Σ ±α_i + β nearest to v (the lowest code of several). It is what runs on the CPU.
/// </summary>
internal static class ReferenceSignStep
{
    /// <param name="adam">The step.</param>
    /// <param name="latent">v [in]</param>
    /// <param name="mean">m [in]</param>
    /// <param name="square">s [in]</param>
    /// <param name="gradient">[in]</param>
    /// <param name="alpha">Scales of the row, [N, groups].</param>
    /// <param name="beta">[groups], or empty.</param>
    /// <param name="group">Columns of a group.</param>
    /// <param name="codes">Gets a code per column: bit i the sign in basis i.</param>
    public static void Row(
        SignAdam adam, Span<float> latent, Span<float> mean, Span<float> square, ReadOnlySpan<float> gradient,
        ReadOnlySpan<float> alpha, ReadOnlySpan<float> beta, int group, Span<byte> codes)
    {
        var groups = (latent.Length - 1) / group + 1;
        var bases = alpha.Length / groups;
        Span<float> levels = stackalloc float[1 << bases];
        for (var place = 0; place < groups; place++)
        {
            var bias = beta.IsEmpty ? 0 : beta[place];
            float unit = 0, most = 0;
            for (var i = 0; i < bases; i++)
            {
                var size = Math.Abs(alpha[i * groups + place]);
                (unit, most) = (unit + size / bases, most + size);
            }
            for (var code = 0; code < levels.Length; code++)
            {
                levels[code] = bias;
                for (var i = 0; i < bases; i++)
                    levels[code] += (code >> i & 1) == 1 ? alpha[i * groups + place] : -alpha[i * groups + place];
            }
            for (var k = place * group; k < Math.Min((place + 1) * group, latent.Length); k++)
            {
                mean[k] += (1 - adam.Decay1) * (gradient[k] - mean[k]);
                square[k] = square[k] * adam.Decay2 + (1 - adam.Decay2) * gradient[k] * gradient[k];
                var moved = latent[k] - adam.Rate * unit * (mean[k] / adam.Correction1) / (MathF.Sqrt(square[k] / adam.Correction2) + adam.Epsilon);
                latent[k] = Math.Min(Math.Max(moved, bias - most), bias + most);
                codes[k] = Nearest(levels, latent[k]);
            }
        }
    }

    private static byte Nearest(ReadOnlySpan<float> levels, float value)
    {
        var best = 0;
        for (var code = 1; code < levels.Length; code++)
        {
            if (Math.Abs(value - levels[code]) < Math.Abs(value - levels[best]))
                best = code;
        }
        return (byte)best;
    }
}
