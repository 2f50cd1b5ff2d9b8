using Qbb.Checkpoints;
using Qbb.Models;

namespace Qbb.Bases;

/// <summary>
/// One weight [out, in] as a sum of binary matrices: Ŵ[o, j] = 2^e·(Σ_i α[i, o, k]·B[i, o, j] + β[o, k]), k = ⌊j / g⌋, B ∈ {−1, +1}.
/// Columns fall into groups of g; the last group is shorter where g does not divide in. On a grid (<see cref="OnGrid"/>) α and β follow from
/// one step a group: Ŵ = minimum + step·q, q the number whose highest bit is the sign in the first plane.
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

    /// <summary>A weight whose levels are uniform: minimum + step·q, q = 0 … 2^N − 1. Takes over the arrays without copying them.</summary>
    /// <param name="count">N, 2..8.</param>
    /// <param name="outFeatures">Rows.</param>
    /// <param name="inFeatures">Columns.</param>
    /// <param name="groupSize">As above.</param>
    /// <param name="planes">As above; the first plane is the highest bit of q.</param>
    /// <param name="steps">[out, groups]; a half of each must be a number of fp16.</param>
    /// <param name="lowest">Where the minimum is a multiple of the step, that multiple.</param>
    /// <param name="minima">Else the minima [out, groups].</param>
    /// <param name="zeros">Else the zero points [out, groups]: minimum = −zero·step.</param>
    /// <exception cref="InvalidInputException">A size is out of range, an array has another length, or a scale does not fit fp16.</exception>
    public static BinaryBases OnGrid(
        int count, int outFeatures, int inFeatures, int groupSize, uint[] planes, Half[] steps, int? lowest, Half[]? minima, Half[]? zeros = null)
    {
        if ((lowest is null ? 0 : 1) + (minima is null ? 0 : 1) + (zeros is null ? 0 : 1) != 1)
            throw new ArgumentException("a grid has one lowest level, minima or zero points");
        var alpha = new Half[count * steps.Length];
        for (var basis = 0; basis < count; basis++)
        {
            for (var place = 0; place < steps.Length; place++)
                alpha[basis * steps.Length + place] = (Half)MathF.ScaleB((float)steps[place], count - 2 - basis);
        }
        if (alpha.AsSpan(0, Math.Min(alpha.Length, steps.Length)).ContainsAnyExceptInRange(Half.MinValue, Half.MaxValue))
            throw new InvalidInputException("a step of a grid is too large: its highest scale does not fit fp16");
        var bases = new BinaryBases(count, outFeatures, inFeatures, groupSize, planes, alpha, null) { Steps = steps, Lowest = lowest, Minima = minima, Zeros = zeros };
        CheckLength("steps", steps.Length, (long)outFeatures * bases.Groups);
        if ((minima ?? zeros) is { } lows)
            CheckLength(minima is null ? "zero points" : "minima", lows.Length, (long)outFeatures * bases.Groups);
        return bases;
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

    /// <summary>Stored biases of the groups [out, groups]; null for none, and on a grid.</summary>
    public Half[]? Beta { get; }

    /// <summary>On a grid the steps [out, groups]; null elsewhere.</summary>
    public Half[]? Steps { get; private init; }

    /// <summary>On a grid whose minimum is a multiple of the step, that multiple.</summary>
    public int? Lowest { get; private init; }

    /// <summary>On a grid with free minima, those [out, groups].</summary>
    public Half[]? Minima { get; private init; }

    /// <summary>On a grid with zero points, those [out, groups].</summary>
    public Half[]? Zeros { get; private init; }

    /// <summary>Whether groups have a bias, stored or of the grid.</summary>
    public bool HasBias => Beta != null || Steps != null;

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
    public long StoredBytes => 4L * Planes.Length + 2L * ((Steps ?? Alpha).Length + ((Steps is null ? Beta : Minima ?? Zeros)?.Length ?? 0));

    /// <summary>The signs of one row of one basis, [ceil(in/32)].</summary>
    public ReadOnlySpan<uint> Row(int basis, int row) => Planes.AsSpan((basis * OutFeatures + row) * WordsPerRow, WordsPerRow);

    /// <summary>The scale of one basis in one group of a row.</summary>
    public Half Scale(int basis, int row, int group) => Alpha[(basis * OutFeatures + row) * Groups + group];

    /// <summary>The same signs and scales with another e.</summary>
    public BinaryBases WithExponent(int exponent) => new(Count, OutFeatures, InFeatures, GroupSize, Planes, Alpha, Beta)
    {
        Exponent = exponent,
        Steps = Steps,
        Lowest = Lowest,
        Minima = Minima,
        Zeros = Zeros,
    };

    /// <summary>The bias of one group of a row, 0 where there is no bias. A number of fp16, but on a grid with free minima or zero points.</summary>
    public float Bias(int row, int group)
    {
        var place = row * Groups + group;
        if (Steps is null)
            return Beta is null ? 0 : (float)Beta[place];
        var (step, middle) = ((float)Steps[place], ((1 << Count) - 1) / 2f);
        if (Zeros is not null)
            return (middle - (float)Zeros[place]) * step;
        return Minima is null ? (Lowest!.Value + middle) * step : (float)Minima[place] + middle * step;
    }

    /// <summary>The biases of all groups [out, groups], or null.</summary>
    public float[]? Biases()
    {
        if (!HasBias)
            return null;
        var biases = new float[OutFeatures * Groups];
        for (var place = 0; place < biases.Length; place++)
            biases[place] = Bias(place / Groups, place % Groups);
        return biases;
    }

    /// <inheritdoc/>
    public void Dequantize(int firstRow, int rows, Span<float> destination) => BasesExpansion.Expand(this, firstRow, rows, destination);

    private static void CheckLength(string name, int length, long expected)
    {
        if (expected > Array.MaxLength || length != expected)
            throw new InvalidInputException($"{name} of binary bases has {length} elements where its sizes require {expected}");
    }
}
