namespace Qbb.Evaluator.Accounting;

/// <summary>Arithmetic of linear layers for one token, batch 1.</summary>
/// <param name="Multiplications">Multiplications per token.</param>
/// <param name="Additions">Additions and subtractions per token.</param>
public sealed record OperationCounts(long Multiplications, long Additions)
{
    /// <summary>A dense layer: one multiplication and one addition per weight.</summary>
    public static OperationCounts Dense(long outFeatures, long inFeatures) => new(outFeatures * inFeatures, outFeatures * inFeatures);

    /// <summary>
    /// A sum of binary matrices: each plane adds or subtracts every input once; each group's sum is scaled once per plane and added
    /// to the row. The bias multiplies the sum of a group's inputs, which all rows share.
    /// </summary>
    public static OperationCounts Bases(long bases, long outFeatures, long inFeatures, long groups, bool bias) => new(
        outFeatures * groups * (bases + (bias ? 1 : 0)),
        outFeatures * inFeatures * bases + outFeatures * groups * (bases + (bias ? 1 : 0)) + (bias ? inFeatures : 0));

    /// <summary>
    /// Integers q with a scale s per group, Σ s·(Σ q·x − z·Σ x): a multiplication and an addition per weight, and each group's sum is scaled
    /// once and added to the row. The zero point z multiplies the sum of a group's inputs, which all rows share.
    /// </summary>
    public static OperationCounts Integers(long outFeatures, long inFeatures, long groups, bool zeroPoints) => new(
        outFeatures * (inFeatures + groups * (zeroPoints ? 2 : 1)),
        outFeatures * (inFeatures + groups * (zeroPoints ? 2 : 1)) + (zeroPoints ? inFeatures : 0));

    public static OperationCounts operator +(OperationCounts a, OperationCounts b) => new(a.Multiplications + b.Multiplications, a.Additions + b.Additions);
}
