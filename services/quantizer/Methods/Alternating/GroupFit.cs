namespace Qbb.Quantizer.Methods.Alternating;

/// <summary>
/// One group of g weights as bases: w_j ≈ Σ_i ±α_i + β, the sign of basis i at column j being bit i of code j (1 for +1).
/// Reused for every group of a thread.
/// </summary>
internal sealed class GroupFit(int bases, int capacity)
{
    private readonly byte[] _codes = new byte[capacity];
    private readonly float[] _latents = new float[bases * capacity];

    /// <summary>N.</summary>
    public int Bases => Alpha.Length;

    /// <summary>g of the present group.</summary>
    public int Length { get; private set; }

    /// <summary>Scales [N].</summary>
    public double[] Alpha { get; } = new double[bases];

    /// <summary>Bias, 0 where the recipe has none.</summary>
    public double Beta { get; set; }

    /// <summary>Signs [g].</summary>
    public Span<byte> Codes => _codes.AsSpan(0, Length);

    /// <summary>The real numbers [g] whose signs are the signs of one basis; gradient refinement starts from them.</summary>
    public Span<float> Latent(int basis) => _latents.AsSpan(basis * Length, Length);

    /// <summary>Makes room for a group; the old content is lost.</summary>
    public void Resize(int length)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, _codes.Length);
        Length = length;
        Beta = 0;
    }

    /// <summary>
    /// Makes every scale positive and the scales fall, without changing a single value of the fit: a basis with a negative scale is
    /// turned over, then bases change places.
    /// </summary>
    public void Normalize()
    {
        Span<int> order = stackalloc int[Bases];
        Span<double> scales = stackalloc double[Bases];
        var unchanged = true;
        for (var basis = 0; basis < Bases; basis++)
        {
            var scale = Math.Abs(Alpha[basis]);
            var place = basis;
            for (; place > 0 && scales[place - 1] < scale; place--)
            {
                scales[place] = scales[place - 1];
                order[place] = order[place - 1];
                unchanged = false;
            }
            scales[place] = scale;
            order[place] = basis;
            unchanged &= Alpha[basis] >= 0;
        }
        if (unchanged)
            return;
        Span<byte> renamed = stackalloc byte[1 << Bases];
        for (var code = 0; code < renamed.Length; code++)
        {
            renamed[code] = 0;
            for (var place = 0; place < Bases; place++)
            {
                var positive = (code >> order[place] & 1) == 1 == Alpha[order[place]] >= 0;
                renamed[code] |= (byte)((positive ? 1 : 0) << place);
            }
        }
        foreach (ref var code in Codes)
            code = renamed[code];
        scales.CopyTo(Alpha);
    }

    /// <summary>The value Σ_{i &lt; N} ±α_i + β of every code [2^N].</summary>
    public void Levels(Span<double> levels) => Levels(Alpha, Beta, levels);

    /// <summary>The value Σ ±α_i + β of every code of the given bases.</summary>
    public static void Levels(ReadOnlySpan<double> alpha, double beta, Span<double> levels)
    {
        levels[0] = beta;
        foreach (var scale in alpha)
            levels[0] -= scale;
        for (var basis = 0; basis < alpha.Length; basis++)
        {
            var twice = 2 * alpha[basis];
            for (var code = 0; code < 1 << basis; code++)
                levels[code | 1 << basis] = levels[code] + twice;
        }
    }

    /// <summary>Σ(w − ŵ)² with the first 1..N bases and the bias.</summary>
    /// <param name="w">[g]</param>
    /// <param name="codes">Signs [g].</param>
    /// <param name="alpha">Scales [N].</param>
    /// <param name="beta">Bias.</param>
    /// <param name="levels">Room for [2^N].</param>
    /// <param name="squares">Result [N].</param>
    public static void SquaredErrors(ReadOnlySpan<float> w, ReadOnlySpan<byte> codes, ReadOnlySpan<double> alpha, double beta, Span<double> levels, Span<double> squares)
    {
        for (var count = 1; count <= alpha.Length; count++)
        {
            Levels(alpha[..count], beta, levels);
            var mask = (1 << count) - 1;
            var sum = 0.0;
            for (var j = 0; j < w.Length; j++)
            {
                var error = w[j] - levels[codes[j] & mask];
                sum += error * error;
            }
            squares[count - 1] = sum;
        }
    }
}
