namespace Qbb.Models.Decoder;

/// <summary>
/// Inverse frequencies of rotary position embeddings for every kind of scaling: the formulas of the papers as transformers 5
/// (modeling_rope_utils) reads them, calculated in double and rounded to float.
/// </summary>
public static class RopeFrequencies
{
    /// <summary>Angles per position and the factor on cosine and sine.</summary>
    /// <param name="rope">The configuration.</param>
    /// <param name="length">Positions in the sequence, the current one counted; matters for dynamic and longrope only.</param>
    /// <returns>One inverse frequency per rotated pair, highest first, and the attention factor.</returns>
    public static (float[] InverseFrequencies, double AttentionFactor) Of(RopeConfig rope, long length) => rope.Kind switch
    {
        RopeKind.Default => (Plain(rope, rope.Theta, 1), 1),
        RopeKind.Linear => (Plain(rope, rope.Theta, rope.Factor), 1),
        RopeKind.Dynamic => (Plain(rope, DynamicBase(rope, length), 1), 1),
        RopeKind.Yarn => (Yarn(rope), YarnAttention(rope)),
        RopeKind.Llama3 => (Llama3(rope), 1),
        RopeKind.LongRope => (LongRope(rope, length), LongRopeAttention(rope)),
        _ => throw new InvalidOperationException($"rope kind {rope.Kind}"),
    };

    /// <summary>Cosines and sines of positions [0, positions), times the attention factor.</summary>
    /// <param name="rope">The configuration.</param>
    /// <param name="positions">Rows.</param>
    /// <param name="length">Positions in the sequence, as for <see cref="Of"/>.</param>
    /// <returns>Both [positions, pairs].</returns>
    public static (float[] Cos, float[] Sin) Angles(RopeConfig rope, long positions, long length)
    {
        var (frequencies, factor) = Of(rope, length);
        var pairs = frequencies.Length;
        var (cos, sin) = (new float[positions * pairs], new float[positions * pairs]);
        for (long position = 0; position < positions; position++)
        {
            for (var pair = 0; pair < pairs; pair++)
            {
                // The angle is rounded to float, as everywhere these models are trained and run.
                double angle = position * frequencies[pair];
                cos[position * pairs + pair] = (float)(Math.Cos(angle) * factor);
                sin[position * pairs + pair] = (float)(Math.Sin(angle) * factor);
            }
        }
        return (cos, sin);
    }

    /// <summary>
    /// Sequences of equal regime have equal frequencies. Growing from one regime to another changes the angles of all positions,
    /// those of the past too.
    /// </summary>
    public static long Regime(RopeConfig rope, long length) => rope.Kind switch
    {
        RopeKind.Dynamic => Math.Max(length, rope.MaxPositions),
        RopeKind.LongRope => length > rope.OriginalMaxPositions ? 1 : 0,
        _ => 0,
    };

    private static double Period(RopeConfig rope, double theta, int pair) => Math.Pow(theta, 2.0 * pair / rope.Dimensions);

    private static float[] Plain(RopeConfig rope, double theta, double divisor) =>
        [.. Enumerable.Range(0, rope.Dimensions / 2).Select(pair => (float)(1 / (Period(rope, theta, pair) * divisor)))];

    /// <summary>NTK-aware scaling: the base grows so that the lowest frequency spans the sequence.</summary>
    private static double DynamicBase(RopeConfig rope, long length)
    {
        var sequence = Math.Max(length, rope.MaxPositions);
        var stretch = rope.Factor * sequence / rope.MaxPositions - (rope.Factor - 1);
        return rope.Theta * Math.Pow(stretch, rope.Dimensions / (rope.Dimensions - 2.0));
    }

    private static float[] Yarn(RopeConfig rope)
    {
        var low = RotationsToPair(rope, rope.BetaFast);
        var high = RotationsToPair(rope, rope.BetaSlow);
        if (rope.Truncate)
            (low, high) = (Math.Floor(low), Math.Ceiling(high));
        (low, high) = (Math.Max(low, 0), Math.Min(high, rope.Dimensions - 1));
        if (low == high)
            high += 0.001;
        var frequencies = new float[rope.Dimensions / 2];
        for (var pair = 0; pair < frequencies.Length; pair++)
        {
            var interpolated = Math.Clamp((pair - low) / (high - low), 0, 1);
            var period = Period(rope, rope.Theta, pair);
            frequencies[pair] = (float)(interpolated / (rope.Factor * period) + (1 - interpolated) / period);
        }
        return frequencies;
    }

    /// <summary>The pair, as a real number, that turns so many times over the context of training.</summary>
    private static double RotationsToPair(RopeConfig rope, double rotations) =>
        rope.Dimensions * Math.Log(rope.OriginalMaxPositions / (rotations * 2 * Math.PI)) / (2 * Math.Log(rope.Theta));

    private static double YarnAttention(RopeConfig rope)
    {
        if (rope.AttentionFactor is { } given)
            return given;
        return rope is { Mscale: { } numerator, MscaleAllDimensions: { } denominator }
            ? Scale(numerator) / Scale(denominator)
            : Scale(1);

        double Scale(double mscale) => rope.Factor <= 1 ? 1 : 0.1 * mscale * Math.Log(rope.Factor) + 1;
    }

    /// <summary>Wavelengths beyond original/low are stretched by the factor, those below original/high kept, those between mixed.</summary>
    private static float[] Llama3(RopeConfig rope)
    {
        var frequencies = new float[rope.Dimensions / 2];
        for (var pair = 0; pair < frequencies.Length; pair++)
        {
            var frequency = 1 / Period(rope, rope.Theta, pair);
            var turns = rope.OriginalMaxPositions * frequency / (2 * Math.PI);
            var kept = Math.Clamp((turns - rope.LowFrequencyFactor) / (rope.HighFrequencyFactor - rope.LowFrequencyFactor), 0, 1);
            frequencies[pair] = (float)((1 - kept) * frequency / rope.Factor + kept * frequency);
        }
        return frequencies;
    }

    private static float[] LongRope(RopeConfig rope, long length)
    {
        var divisors = length > rope.OriginalMaxPositions ? rope.LongFactor : rope.ShortFactor;
        return [.. Enumerable.Range(0, rope.Dimensions / 2).Select(pair => (float)(1 / (divisors[pair] * Period(rope, rope.Theta, pair))))];
    }

    private static double LongRopeAttention(RopeConfig rope) =>
        rope.AttentionFactor ?? (rope.Factor <= 1 ? 1 : Math.Sqrt(1 + Math.Log(rope.Factor) / Math.Log(rope.OriginalMaxPositions)));
}
