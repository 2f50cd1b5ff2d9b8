namespace Qbb.Quantizer.Methods.Alternating;

/// <summary>The 2^N levels of a group in rising order and the thresholds half way between neighbours.</summary>
internal sealed class LevelOrder
{
    private readonly double[] _levels;
    private readonly double[] _sorted;

    public LevelOrder(int bases)
    {
        _levels = new double[1 << bases];
        _sorted = new double[1 << bases];
        Thresholds = new float[Math.Max(8, 1 << bases)];
        Thresholds.AsSpan().Fill(float.PositiveInfinity);
        Codes = new int[1 << bases];
        // Scales mostly fall from basis to basis: then levels rise with their codes read backwards, and sorting has little left to do.
        for (var k = 0; k < Codes.Length; k++)
        {
            for (var bit = 0; bit < bases; bit++)
                Codes[k] |= (k >> bit & 1) << (bases - 1 - bit);
        }
    }

    /// <summary>The codes [2^N] by rising level.</summary>
    public int[] Codes { get; }

    /// <summary>Level k is the nearest from threshold k − 1 up to just below threshold k. The 2^N − 1 thresholds are filled up with
    /// infinity to a multiple of 8.</summary>
    public float[] Thresholds { get; }

    /// <summary>Takes new scales and bias; true where the order of the codes changed.</summary>
    public bool Update(ReadOnlySpan<double> alpha, double beta)
    {
        GroupFit.Levels(alpha, beta, _levels);
        var codes = Codes.AsSpan();
        var sorted = _sorted.AsSpan(0, codes.Length);
        var reordered = false;
        for (var k = 0; k < codes.Length; k++)
        {
            var code = codes[k];
            var level = _levels[code];
            var place = k;
            for (; place > 0 && sorted[place - 1] > level; place--)
            {
                sorted[place] = sorted[place - 1];
                codes[place] = codes[place - 1];
                reordered = true;
            }
            sorted[place] = level;
            codes[place] = code;
        }
        var thresholds = Thresholds.AsSpan(0, codes.Length);
        for (var k = 0; k + 1 < sorted.Length; k++)
            thresholds[k] = (float)((sorted[k] + sorted[k + 1]) * 0.5);
        return reordered;
    }
}
