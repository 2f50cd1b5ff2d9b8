using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Qbb.Bases;

/// <summary>Turns binary bases back into dense weights: eight columns at a time inside a group, one by one where a group ends.</summary>
internal static class BasesExpansion
{
    private static readonly Vector256<uint> BitOfLane = Vector256.Create(1u, 2, 4, 8, 16, 32, 64, 128);

    /// <summary>Rows [firstRow, firstRow + rows) into <paramref name="destination"/>, row-major [rows, in].</summary>
    public static void Expand(BinaryBases bases, int firstRow, int rows, Span<float> destination)
    {
        CheckRange(bases, firstRow, rows, destination.Length);
        Span<float> alpha = stackalloc float[BinaryBases.MostBases];
        var factor = bases.Factor;
        for (var row = firstRow; row < firstRow + rows; row++)
        {
            var line = destination.Slice((row - firstRow) * bases.InFeatures, bases.InFeatures);
            for (var group = 0; group < bases.Groups; group++)
            {
                for (var basis = 0; basis < bases.Count; basis++)
                    alpha[basis] = (float)bases.Scale(basis, row, group) * factor;
                ExpandGroup(bases, row, group, alpha[..bases.Count], bases.Bias(row, group) * factor, line);
            }
        }
    }

    /// <summary>
    /// The same with other scales than the stored ones, and without the factor 2^e: <paramref name="scales"/> [N, out, groups],
    /// <paramref name="biases"/> [out, groups] or empty.
    /// </summary>
    public static void Expand(
        BinaryBases bases, ReadOnlySpan<float> scales, ReadOnlySpan<float> biases, int firstRow, int rows, Span<float> destination)
    {
        CheckRange(bases, firstRow, rows, destination.Length);
        Span<float> alpha = stackalloc float[BinaryBases.MostBases];
        for (var row = firstRow; row < firstRow + rows; row++)
        {
            var line = destination.Slice((row - firstRow) * bases.InFeatures, bases.InFeatures);
            for (var group = 0; group < bases.Groups; group++)
            {
                for (var basis = 0; basis < bases.Count; basis++)
                    alpha[basis] = scales[(basis * bases.OutFeatures + row) * bases.Groups + group];
                ExpandGroup(bases, row, group, alpha[..bases.Count], biases.IsEmpty ? 0 : biases[row * bases.Groups + group], line);
            }
        }
    }

    /// <summary>The plain form of <see cref="Expand"/>, sign by sign, summed in the same order.</summary>
    public static void ReferenceExpand(BinaryBases bases, int firstRow, int rows, Span<float> destination)
    {
        CheckRange(bases, firstRow, rows, destination.Length);
        for (var row = 0; row < rows; row++)
        {
            for (var column = 0; column < bases.InFeatures; column++)
            {
                var group = column / bases.GroupSize;
                var sum = bases.Bias(firstRow + row, group);
                for (var basis = 0; basis < bases.Count; basis++)
                {
                    var scale = (float)bases.Scale(basis, firstRow + row, group);
                    sum += SignPacking.IsPositive(bases.Row(basis, firstRow + row), column) ? scale : -scale;
                }
                destination[row * bases.InFeatures + column] = sum * bases.Factor;
            }
        }
    }

    private static void ExpandGroup(BinaryBases bases, int row, int group, ReadOnlySpan<float> alpha, float beta, Span<float> line)
    {
        var first = group * bases.GroupSize;
        var last = (int)Math.Min((long)first + bases.GroupSize, bases.InFeatures);
        var column = first;
        var aligned = Math.Min(last, (first + 7) & ~7);
        for (; column < aligned; column++)
            line[column] = ExpandOne(bases, row, column, alpha, beta);
        for (; column + 8 <= last; column += 8)
        {
            var sum = Vector256.Create(beta);
            for (var basis = 0; basis < alpha.Length; basis++)
            {
                var signs = MemoryMarshal.AsBytes(bases.Row(basis, row))[column >> 3];
                // A zero bit is −1: it sets the sign bit of the scale.
                var negative =
                    Vector256.Equals(Vector256.Create((uint)signs) & BitOfLane, Vector256<uint>.Zero) & Vector256.Create(0x8000_0000u);
                sum += (Vector256.Create(alpha[basis]).AsUInt32() ^ negative).AsSingle();
            }
            sum.CopyTo(line[column..]);
        }
        for (; column < last; column++)
            line[column] = ExpandOne(bases, row, column, alpha, beta);
    }

    private static float ExpandOne(BinaryBases bases, int row, int column, ReadOnlySpan<float> alpha, float beta)
    {
        var sum = beta;
        for (var basis = 0; basis < alpha.Length; basis++)
            sum += SignPacking.IsPositive(bases.Row(basis, row), column) ? alpha[basis] : -alpha[basis];
        return sum;
    }

    private static void CheckRange(BinaryBases bases, int firstRow, int rows, int length)
    {
        if (firstRow < 0 || rows < 0 || (long)firstRow + rows > bases.OutFeatures)
            throw new ArgumentOutOfRangeException(nameof(firstRow), $"rows {firstRow} to {(long)firstRow + rows} of {bases.OutFeatures}");
        if (length != (long)rows * bases.InFeatures)
            throw new ArgumentException($"{rows} rows of {bases.InFeatures} do not fill {length} elements");
    }
}
