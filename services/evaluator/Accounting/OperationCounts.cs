namespace Qbb.Evaluator.Accounting;

/// <summary>Arithmetic of the linear layers for one token, batch 1; attention, norms and the head are the same for every form.</summary>
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

    public static OperationCounts operator +(OperationCounts a, OperationCounts b) => new(a.Multiplications + b.Multiplications, a.Additions + b.Additions);
}
