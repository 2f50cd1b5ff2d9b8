using Qbb.Checkpoints;
using Qbb.Models;

namespace Qbb.Bases;

/// <summary>
/// One weight [out, in] as a sum of binary matrices: Ŵ[o, j] = 2^e·(Σ_i α[i, o, k]·B[i, o, j] + β[o, k]), k = ⌊j / g⌋, B ∈ {−1, +1}.
/// Columns fall into groups of g; the last group is shorter where g does not divide in.
/// </summary>
public sealed class BinaryBases : IQuantizedWeight
{
    /// <summary>The most bases a weight may have; a code of one sign per basis then still fits a byte.</summary>
    public const int MostBases = 8;

    /// <summary>Takes over the arrays without copying them.</summary>
    /// <param name="count">N, 1..8.</param>
    /// <param name="outFeatures">Rows.</param>
    /// <param name="inFeatures">Columns.</param>
    /// <param name="groupSize">Columns that share a scale, at least 1; the row where it is larger than the row.</param>
    /// <param name="planes">[N, out, ceil(in/32)], laid out as <see cref="SignPacking"/> says.</param>
    /// <param name="alpha">Scales [N, out, groups].</param>
    /// <param name="beta">Bias of every group [out, groups], or null for none.</param>
    /// <exception cref="InvalidInputException">A size is out of range or an array has another length.</exception>
    public BinaryBases(int count, int outFeatures, int inFeatures, int groupSize, uint[] planes, Half[] alpha, Half[]? beta)
    {
        if (count is < 1 or > MostBases)
            throw new InvalidInputException($"a weight has 1 to {MostBases} binary bases, not {count}");
        if (outFeatures < 1 || inFeatures < 1)
            throw new InvalidInputException($"a weight of {outFeatures} × {inFeatures} has no elements");
        if (groupSize < 1)
            throw new InvalidInputException($"the group size must be at least 1, not {groupSize}");
        Count = count;
        OutFeatures = outFeatures;
        InFeatures = inFeatures;
        GroupSize = Math.Min(groupSize, inFeatures);
        Planes = planes;
        Alpha = alpha;
        Beta = beta;
        CheckLength("planes", planes.Length, (long)count * outFeatures * WordsPerRow);
        CheckLength("alpha", alpha.Length, (long)count * outFeatures * Groups);
        if (beta != null)
            CheckLength("beta", beta.Length, (long)outFeatures * Groups);
    }

    /// <summary>N, the number of binary matrices.</summary>
    public int Count { get; }

    /// <inheritdoc/>
    public int OutFeatures { get; }

    /// <inheritdoc/>
    public int InFeatures { get; }

    /// <summary>Columns that share one scale per basis; equal to <see cref="InFeatures"/> for row scales.</summary>
    public int GroupSize { get; }

    /// <summary>Groups of a row, ceil(in/g); the last may be shorter.</summary>
    public int Groups => (InFeatures - 1) / GroupSize + 1;

    /// <summary>Words of 32 signs that one row of one plane takes.</summary>
    public int WordsPerRow => SignPacking.WordsPerRow(InFeatures);

    /// <summary>Signs [N, out, ceil(in/32)].</summary>
    public uint[] Planes { get; }

    /// <summary>Scales [N, out, groups].</summary>
    public Half[] Alpha { get; }

    /// <summary>Bias of every group [out, groups], or null.</summary>
    public Half[]? Beta { get; }

    /// <summary>e: 0 but for weights so small or so large that their scales would underflow or overflow in fp16.</summary>
    public int Exponent { get; init; }

    /// <summary>2^e.</summary>
    public float Factor => ScaleExponent.Factor(Exponent);

    /// <summary>
    /// All stored bits over the number of weights. Where 32 and g divide in, N + 16(N + [bias])/g; elsewhere a little more, for the
    /// padding of the last word and the short last group.
    /// </summary>
    public double EffectiveBitsPerWeight => StoredBytes * 8.0 / ((double)OutFeatures * InFeatures);

    /// <summary>Bytes that planes, scales and bias take.</summary>
    public long StoredBytes => 4L * Planes.Length + 2L * (Alpha.Length + (Beta?.Length ?? 0));

    /// <summary>The signs of one row of one basis, [ceil(in/32)].</summary>
    public ReadOnlySpan<uint> Row(int basis, int row) => Planes.AsSpan((basis * OutFeatures + row) * WordsPerRow, WordsPerRow);

    /// <summary>The scale of one basis in one group of a row.</summary>
    public Half Scale(int basis, int row, int group) => Alpha[(basis * OutFeatures + row) * Groups + group];

    /// <summary>The same signs and scales with another e.</summary>
    public BinaryBases WithExponent(int exponent) => new(Count, OutFeatures, InFeatures, GroupSize, Planes, Alpha, Beta) { Exponent = exponent };

    /// <summary>The bias of one group of a row, 0 where there is no bias.</summary>
    public Half Bias(int row, int group) => Beta == null ? (Half)0 : Beta[row * Groups + group];

    /// <inheritdoc/>
    public void Dequantize(int firstRow, int rows, Span<float> destination) => BasesExpansion.Expand(this, firstRow, rows, destination);

    private static void CheckLength(string name, int length, long expected)
    {
        if (expected > Array.MaxLength || length != expected)
            throw new InvalidInputException($"{name} of binary bases has {length} elements where its sizes require {expected}");
    }
}
