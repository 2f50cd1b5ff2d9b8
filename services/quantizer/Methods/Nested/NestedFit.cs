using Qbb.Quantizer.Methods.Alternating;

namespace Qbb.Quantizer.Methods.Nested;

/// <summary>
/// One group of g weights whose first n bases are a fit for every n up to N: w_j ≈ Σ_{i &lt; n} ±α_n[i] + β_n, the sign of basis i at column
/// j being bit i of code j. Reused for every group of a thread.
/// </summary>
internal sealed class NestedFit(int bases, int capacity)
{
    private readonly byte[] _codes = new byte[capacity];

    /// <summary>N.</summary>
    public int Bases => bases;

    /// <summary>g of the present group.</summary>
    public int Length { get; private set; }

    /// <summary>Signs [g].</summary>
    public Span<byte> Codes => _codes.AsSpan(0, Length);

    /// <summary>Scales: n of them at place n − 1. Their order is that of the planes; they may be negative.</summary>
    public double[][] Alpha { get; } = [.. Enumerable.Range(1, bases).Select(count => new double[count])];

    /// <summary>β_n at place n − 1; 0 where the recipe has no bias.</summary>
    public double[] Beta { get; } = new double[bases];

    /// <summary>Σ h·(w − ŵ_n)² at place n − 1, as of the last least squares.</summary>
    public double[] Errors { get; } = new double[bases];

    /// <summary>Makes room for a group.</summary>
    public void Resize(int length)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, _codes.Length);
        Length = length;
    }

    /// <summary>The code of the first <paramref name="count"/> bases within a code.</summary>
    public static int Mask(int count) => (1 << count) - 1;

    /// <summary>Σ (w − ŵ_n)² for every n, [N], of signs and scales as they are.</summary>
    /// <param name="w">[g]</param>
    /// <param name="levels">Room for [2^N].</param>
    /// <param name="squares">Result [N].</param>
    public void SquaredErrors(ReadOnlySpan<float> w, Span<double> levels, Span<double> squares)
    {
        for (var count = 1; count <= bases; count++)
        {
            GroupFit.Levels(Alpha[count - 1], Beta[count - 1], levels);
            var sum = 0.0;
            for (var j = 0; j < w.Length; j++)
            {
                var error = w[j] - levels[_codes[j] & Mask(count)];
                sum += error * error;
            }
            squares[count - 1] = sum;
        }
    }
}
