using Qbb.Models;

namespace Qbb.Quantizer.Methods.Lattice;

/// <summary>
/// Eight weights of unit size as codes of QuIP#: 2 bits a weight are E8P, 3 add E8 for what that leaves, 4 E8P once more. The factors are
/// those of least squared error for Gaussian weights, found by search.
/// </summary>
public sealed class LatticeCode
{
    /// <summary>Bits of a weight that there are codes for.</summary>
    public static readonly int[] Widths = [2, 3, 4];

    private readonly int _bits;
    private readonly float _scale;
    private readonly float _residual;

    /// <param name="bits">2, 3 or 4.</param>
    /// <exception cref="InvalidInputException">Other bits.</exception>
    public LatticeCode(int bits)
        : this(bits, FactorsOf(bits))
    {
    }

    internal LatticeCode(int bits, (float Scale, float Residual) factors) => (_bits, _scale, _residual) = (bits, factors.Scale, factors.Residual);

    /// <summary>Of the codebook for weights of unit size, and of the second beside the first.</summary>
    /// <exception cref="InvalidInputException">No codes of these bits.</exception>
    public static (float Scale, float Residual) FactorsOf(int bits) => bits switch
    {
        2 => (0.965f, 0),
        3 => (1.015f, 0.49f),
        4 => (1.115f, 0.26f),
        _ => throw new InvalidInputException($"bits is {bits}, and QuIP# has codes of {string.Join(", ", Widths)}"),
    };

    /// <summary>The nearest values that codes have.</summary>
    /// <param name="x">[8]</param>
    /// <param name="values">[8]; may be x.</param>
    public void Round(ReadOnlySpan<double> x, Span<double> values)
    {
        Span<float> scaled = stackalloc float[E8Codebook.Width], first = stackalloc float[E8Codebook.Width];
        for (var i = 0; i < x.Length; i++)
            scaled[i] = (float)(x[i] / _scale);
        E8Codebook.Decode(E8Codebook.Nearest(scaled), first);
        if (_bits > 2)
        {
            Span<float> second = stackalloc float[E8Codebook.Width];
            for (var i = 0; i < x.Length; i++)
                scaled[i] = (scaled[i] - first[i]) / _residual;
            if (_bits == 3)
                E8Codebook.DecodeLattice(E8Codebook.NearestOfLattice(scaled), second);
            else
                E8Codebook.Decode(E8Codebook.Nearest(scaled), second);
            for (var i = 0; i < x.Length; i++)
                first[i] += _residual * second[i];
        }
        for (var i = 0; i < x.Length; i++)
            values[i] = first[i] * (double)_scale;
    }
}
