using Qbb.Models;

namespace Qbb.Bases;

/// <summary>
/// A weight whose first n binary matrices are a model of it for every n from 1 to N, each n with scales and biases of its own:
/// Ŵ_n[o, j] = Σ_{i &lt; n} α_n[i, o, k]·B[i, o, j] + β_n[o, k]. Scales of n &lt; N may be negative: the order of the planes is their rank.
/// </summary>
public sealed class NestedBases : IQuantizedWeight
{
    private readonly IReadOnlyList<NestedScales> _inner;

    /// <summary>Takes over the arrays without copying them.</summary>
    /// <param name="whole">All planes with the scales of N.</param>
    /// <param name="inner">The scales of n = 1 … N − 1.</param>
    /// <exception cref="InvalidInputException">There are scales for another N, or they have another length.</exception>
    public NestedBases(BinaryBases whole, IReadOnlyList<NestedScales> inner)
    {
        if (inner.Count != whole.Count - 1)
            throw new InvalidInputException(
                $"nested bases of {whole.Count} planes need scales for {whole.Count - 1} smaller models, not {inner.Count}");
        (Whole, _inner) = (whole, inner);
        for (var count = 1; count < whole.Count; count++)
            _ = At(count);
    }

    /// <summary>All planes with the scales of N.</summary>
    public BinaryBases Whole { get; }

    /// <inheritdoc/>
    public int OutFeatures => Whole.OutFeatures;

    /// <inheritdoc/>
    public int InFeatures => Whole.InFeatures;

    /// <summary>Of everything that is stored, the scales of all n included.</summary>
    public double EffectiveBitsPerWeight => StoredBytes * 8.0 / ((double)OutFeatures * InFeatures);

    /// <summary>Bytes of the planes and of the scales and biases of all n.</summary>
    public long StoredBytes => Whole.StoredBytes + _inner.Sum(scales => 2L * (scales.Alpha.Length + (scales.Beta?.Length ?? 0)));

    /// <summary>The scales of a smaller model.</summary>
    public NestedScales Scales(int count) => _inner[count - 1];

    /// <summary>The model of the first planes.</summary>
    /// <param name="count">n, 1 to N.</param>
    public BinaryBases At(int count)
    {
        if (count == Whole.Count)
            return Whole;
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, Whole.Count);
        var (alpha, beta) = _inner[count - 1];
        var planes = Whole.Planes[..(count * OutFeatures * Whole.WordsPerRow)];
        return new BinaryBases(count, OutFeatures, InFeatures, Whole.GroupSize, planes, alpha, beta) { Exponent = Whole.Exponent };
    }

    /// <summary>The same signs and scales with another exponent.</summary>
    public NestedBases WithExponent(int exponent) => new(Whole.WithExponent(exponent), _inner);

    /// <inheritdoc/>
    public void Dequantize(int firstRow, int rows, Span<float> destination) => Whole.Dequantize(firstRow, rows, destination);
}
