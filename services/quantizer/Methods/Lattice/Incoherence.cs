using System.Numerics;
using Qbb.Models;
using Qbb.Models.Generation;

namespace Qbb.Quantizer.Methods.Lattice;

/// <summary>
/// A random orthogonal transform of rows of n numbers, fast to apply, after which no entry stands out: random signs, then a Hadamard matrix (a
/// power of two times one of Paley's). Where none is known for n, random phases of pairs as complex numbers, then their Fourier transform,
/// as the QuIP# paper has it.
/// </summary>
internal sealed class Incoherence : IDisposable
{
    private readonly int _power;
    private readonly Tensor? _matrix;
    private readonly Tensor _random;

    /// <param name="size">n.</param>
    /// <param name="seed">Of the signs or phases.</param>
    /// <param name="name">For messages.</param>
    /// <exception cref="InvalidInputException">n is odd.</exception>
    public Incoherence(int size, ulong seed, string name)
    {
        if (size % 2 != 0)
            throw new InvalidInputException($"{name}: {size} rows or columns are an odd number, which QuIP#'s transform does not have; leave out quip");
        using var scope = torch.NewDisposeScope();
        var random = new SplitMix64(seed);
        (Size, (_power, var hadamard)) = (size, Split(size));
        _matrix = hadamard is null ? null : torch.tensor(hadamard, size / _power, size / _power).DetachFromDisposeScope();
        if (_matrix is null)
        {
            double[] phases = [.. Enumerable.Range(0, size / 2).Select(_ => 2 * Math.PI * (random.Next() >> 11) * Math.ScaleB(1, -53))];
            var angles = torch.tensor(phases);
            _random = torch.complex(angles.cos(), angles.sin()).DetachFromDisposeScope();
        }
        else
        {
            double[] signs = [.. Enumerable.Range(0, size).Select(_ => random.Next() >> 63 == 0 ? 1.0 : -1)];
            _random = torch.tensor(signs).DetachFromDisposeScope();
        }
    }

    /// <summary>n.</summary>
    public int Size { get; }

    /// <summary>What a file that does not know the seed stores: a bit a sign, or 16 bits a phase.</summary>
    public long StoredBits => _matrix is null ? 8L * Size : Size;

    /// <summary>
    /// Arithmetic of one row of n numbers. A Hadamard matrix takes additions alone, n·log2 of the power of two and n·(order − 1); its factor and the
    /// signs go into others. A Fourier transform of m = n/2 points counts as m/2·log2 m butterflies of 4 multiplications and 6 additions, and m phases.
    /// </summary>
    public static (long Multiplications, long Additions) Operations(int size)
    {
        var (power, hadamard) = Split(size);
        if (hadamard is not null)
            return (0, size * (BitOperations.Log2((uint)power) + size / power - 1L));
        var points = size / 2;
        var butterflies = points / 2.0 * Math.Log2(points);
        return ((long)Math.Round(4 * (butterflies + points)), (long)Math.Round(6 * butterflies) + 2 * points);
    }

    /// <summary>The rows of x [rows, n] in f64, each multiplied by the transform; a new tensor of the caller's scope.</summary>
    public Tensor Apply(Tensor x)
    {
        using var scope = torch.NewDisposeScope();
        var result = _matrix is null
            ? torch.view_as_real(torch.fft.fft_(torch.view_as_complex(x.reshape(-1, Size / 2, 2).contiguous()) * _random, norm: TorchSharp.FFTNormType.Ortho)).reshape(-1, Size)
            : Mix(x * _random, _matrix);
        return result.MoveToOuterDisposeScope();
    }

    /// <summary>The reverse of <see cref="Apply"/>.</summary>
    public Tensor Undo(Tensor x)
    {
        using var scope = torch.NewDisposeScope();
        var result = _matrix is null
            ? torch.view_as_real(torch.fft.ifft(torch.view_as_complex(x.reshape(-1, Size / 2, 2).contiguous()), norm: TorchSharp.FFTNormType.Ortho) * _random.conj()).reshape(-1, Size)
            : Mix(x, _matrix.t()) * _random;
        return result.MoveToOuterDisposeScope();
    }

    public void Dispose()
    {
        _matrix?.Dispose();
        _random.Dispose();
    }

    /// <summary>A power of two that divides n, and a Hadamard matrix of the rest's order; null where none is known. The larger the power, the fewer products.</summary>
    private static (int Power, double[]? Hadamard) Split(int size)
    {
        for (var power = size & -size; power > 0; power /= 2)
        {
            if (HadamardMatrix.TryMake(size / power) is { } found)
                return (power, found);
        }
        return (1, null);
    }

    /// <summary>Rows as [n / power, power]: butterflies along the power of two, which are their own transpose, then the matrix.</summary>
    private Tensor Mix(Tensor x, Tensor matrix)
    {
        var order = Size / _power;
        var values = x.reshape(-1, order, _power);
        for (var half = 1; half < _power; half *= 2)
        {
            var pairs = values.reshape(-1, order, _power / (2 * half), 2, half);
            var (first, second) = (pairs.select(3, 0), pairs.select(3, 1));
            values = torch.stack([first + second, first - second], 3).reshape(-1, order, _power);
        }
        return torch.matmul(matrix, values).reshape(-1, Size).div(Math.Sqrt(Size));
    }
}
