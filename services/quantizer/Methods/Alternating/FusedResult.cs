namespace Qbb.Quantizer.Methods.Alternating;

/// <summary>A weight as the fused kernel refined it, on its device.</summary>
/// <param name="Codes">Signs, u8 [out, in]: bit i for basis i.</param>
/// <param name="Alpha">f16 [N, out, groups].</param>
/// <param name="Beta">f16 [out, groups], or null.</param>
/// <param name="Sums">
/// [1 + 3N], over all groups: Σw²; Σ(w − ŵ)² with the first 1..N bases; the same of the init; signs of each basis that differ from the
/// init's.
/// </param>
internal sealed record FusedResult(Tensor Codes, Tensor Alpha, Tensor? Beta, double[] Sums)
{
    public double SquaredNorm => Sums[0];

    public double[] Errors => Sums[1..(1 + Bases)];

    public double[] InitErrors => Sums[(1 + Bases)..(1 + 2 * Bases)];

    public double[] Flips => Sums[(1 + 2 * Bases)..];

    private int Bases => (int)Alpha.size(0);

    /// <summary>Refuses scales that fp16 does not hold.</summary>
    /// <param name="name">The weight's name.</param>
    public void CheckFinite(string name)
    {
        using var scope = torch.NewDisposeScope();
        foreach (var scales in new[] { Alpha, Beta })
        {
            if (scales is not null && scales.isfinite().all().to(ScalarType.Int64).ToInt64() == 0)
                throw HalfScales.TooLarge(name);
        }
    }

    /// <summary>Hands all tensors to the scope around the present one.</summary>
    public FusedResult MoveToOuterDisposeScope()
    {
        foreach (var tensor in new[] { Codes, Alpha, Beta })
            tensor?.MoveToOuterDisposeScope();
        return this;
    }
}
