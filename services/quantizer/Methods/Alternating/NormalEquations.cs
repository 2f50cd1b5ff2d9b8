using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Qbb.Quantizer.Methods.Alternating;

/// <summary>
/// Least squares for the scales and bias of a group whose signs are given, from two numbers per code: how many weights have it and
/// what they add up to. With those as x[code], every entry of the N+1 normal equations is a Walsh-Hadamard coefficient of x at a mask of
/// one or two bits. Weights of different importance h count h times.
/// </summary>
internal sealed class NormalEquations(int bases, bool bias)
{
    /// <summary>Added to the diagonal, relative to the group's length (Σ h): groups with fewer distinct codes than unknowns stay solvable.</summary>
    public const double Ridge = 1e-10;

    private const int Most = 9;
    private readonly int _unknowns = bases + (bias ? 1 : 0);
    private readonly double[] _matrix = new double[Most * Most];
    private readonly double[] _right = new double[Most];
    private readonly double[] _solution = new double[Most];
    private double _length;

    /// <summary>Number of weights (Σ h) of every code [2^N]. <see cref="Prepare"/> overwrites it.</summary>
    public double[] Counts { get; } = new double[1 << bases];

    /// <summary>Sum of the weights (Σ h·w) of every code [2^N]. <see cref="Prepare"/> overwrites it.</summary>
    public double[] Sums { get; } = new double[1 << bases];

    /// <summary>Fills <see cref="Counts"/> and <see cref="Sums"/> from the signs of a group; <paramref name="importance"/> [g] may be empty for 1 each.</summary>
    public void Count(ReadOnlySpan<float> w, ReadOnlySpan<byte> codes, ReadOnlySpan<double> importance = default)
    {
        Array.Clear(Counts);
        Array.Clear(Sums);
        for (var j = 0; j < w.Length; j++)
        {
            var h = importance.IsEmpty ? 1 : importance[j];
            Counts[codes[j]] += h;
            Sums[codes[j]] += h * w[j];
        }
    }

    /// <summary>Turns counts and sums into the normal equations.</summary>
    public void Prepare()
    {
        Transform(Counts);
        Transform(Sums);
        _length = Counts[0];
        for (var i = 0; i < bases; i++)
        {
            // A set bit is +1 here and −1 in the transform: products of two signs agree, single signs are opposite.
            _right[i] = -Sums[1 << i];
            for (var j = 0; j < i; j++)
                _matrix[i * Most + j] = Counts[1 << i | 1 << j];
            _matrix[i * Most + i] = _length;
        }
        if (!bias)
            return;
        _right[bases] = Sums[0];
        for (var j = 0; j < bases; j++)
            _matrix[bases * Most + j] = -Counts[1 << j];
        _matrix[bases * Most + bases] = _length;
    }

    /// <summary>Σ h·(w − ŵ)² of the prepared group under given scales and bias.</summary>
    /// <param name="alpha">Scales [N].</param>
    /// <param name="beta">Bias.</param>
    /// <param name="squares">Σ h·w².</param>
    public double Objective(ReadOnlySpan<double> alpha, double beta, double squares)
    {
        var sum = squares;
        for (var i = 0; i < _unknowns; i++)
        {
            var a = i < bases ? alpha[i] : beta;
            var product = 0.0;
            for (var j = 0; j < i; j++)
                product += _matrix[i * Most + j] * (j < bases ? alpha[j] : beta);
            sum += a * (a * _length + 2 * (product - _right[i]));
        }
        return sum;
    }

    /// <summary>The scales and bias of least Σ h·(w − ŵ)², by Cholesky's factors.</summary>
    [SkipLocalsInit]
    public void Solve(Span<double> alpha, ref double beta)
    {
        Span<double> factor = stackalloc double[Most * Most];
        Span<double> inverse = stackalloc double[Most];
        var ridge = Ridge * _length;
        for (var i = 0; i < _unknowns; i++)
        {
            var right = _right[i];
            for (var j = 0; j < i; j++)
            {
                var sum = _matrix[i * Most + j];
                for (var k = 0; k < j; k++)
                    sum -= factor[i * Most + k] * factor[j * Most + k];
                sum *= inverse[j];
                factor[i * Most + j] = sum;
                right -= sum * _solution[j];
            }
            var diagonal = _length + ridge;
            for (var k = 0; k < i; k++)
                diagonal -= factor[i * Most + k] * factor[i * Most + k];
            // Rounding can leave a singular direction slightly negative; the ridge is what exact arithmetic would have left of it.
            inverse[i] = 1 / Math.Sqrt(Math.Max(diagonal, ridge));
            _solution[i] = right * inverse[i];
        }
        for (var i = _unknowns - 1; i >= 0; i--)
        {
            var sum = _solution[i];
            for (var k = i + 1; k < _unknowns; k++)
                sum -= factor[k * Most + i] * _solution[k];
            _solution[i] = sum * inverse[i];
        }
        _solution.AsSpan(0, bases).CopyTo(alpha);
        if (bias)
            beta = _solution[bases];
    }

    /// <summary>In place x[m] := Σ_c (−1)^{bits of c∧m} x[c].</summary>
    private static void Transform(double[] x)
    {
        if (x.Length < 4)
        {
            (x[0], x[1]) = (x[0] + x[1], x[0] - x[1]);
            return;
        }
        var span = x.AsSpan();
        var odd = Vector256.Create(1.0, -1, 1, -1);
        var high = Vector256.Create(1.0, 1, -1, -1);
        for (var k = 0; k < span.Length; k += 4)
        {
            var v = Vector256.Create<double>(span[k..]);
            v = v * odd + Vector256.Shuffle(v, Vector256.Create(1L, 0, 3, 2));
            v = v * high + Vector256.Shuffle(v, Vector256.Create(2L, 3, 0, 1));
            v.CopyTo(span[k..]);
        }
        for (var half = 4; half < span.Length; half *= 2)
        {
            for (var k = 0; k < span.Length; k += 2 * half)
            {
                for (var j = k; j < k + half; j += 4)
                {
                    var low = Vector256.Create<double>(span[j..]);
                    var top = Vector256.Create<double>(span[(j + half)..]);
                    (low + top).CopyTo(span[j..]);
                    (low - top).CopyTo(span[(j + half)..]);
                }
            }
        }
    }
}
