using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Qbb.Models;
using static Qbb.Bases.Cpu.TileLayout;

namespace Qbb.Bases.Cpu;

/// <summary>y = Ŵx for a few tokens from packed signs: builds the tables of the inputs, then shares the rows out among threads.</summary>
/// <param name="weights">The packed weight.</param>
/// <param name="kernel">How tables are looked up.</param>
/// <param name="integer">Which inputs share a scale where sums are of int8; null where they are of floats.</param>
internal sealed unsafe class LookupProduct(PackedBases weights, CpuInstructions kernel, ActivationScale? integer)
{
    /// <summary>Signs below which one thread is quicker than two: some 20 µs of work, twice the time of waking another.</summary>
    private const long SignsForThreads = 1 << 21;

    private readonly CpuKernel _kernel = CpuKernels.Create(kernel, integer is not null);
    private readonly bool _pairs = kernel == CpuInstructions.Avx512;
    private readonly bool _eight = kernel == CpuInstructions.Avx2;

    public CpuKernel Kernel => _kernel;

    /// <summary>Multiplies any number of tokens, eight at a time.</summary>
    /// <param name="x">[tokens, in]</param>
    /// <param name="y">[tokens, out]</param>
    /// <param name="tokens">Rows of both.</param>
    /// <param name="threads">Threads at most.</param>
    public void Multiply(float* x, float* y, long tokens, int threads)
    {
        for (long first = 0; first < tokens; first += TileJob.MostTokens)
            MultiplyFew(x + first * weights.Layout.InFeatures, y + first * weights.Layout.OutFeatures,
                (int)Math.Min(TileJob.MostTokens, tokens - first), threads);
    }

    private void MultiplyFew(float* x, float* y, int tokens, int threads)
    {
        var layout = weights.Layout;
        int columns = layout.Words * WordColumns, segments = layout.Segments.Length;
        var tableBytes = (long)layout.Words * _kernel.TableBytesPerWord;
        var scratch = TokenScratch.Begin(TokenScratch.Rounded<byte>(tokens * tableBytes) + 2 * TokenScratch.Rounded<float>(columns)
            + 2 * TokenScratch.Rounded<float>(tokens * segments) + TokenScratch.Rounded<float>(tokens)
            + TokenScratch.Rounded<float>((long)tokens * layout.PaddedRows));
        var tables = scratch.Take<byte>(tokens * tableBytes);
        float* padded = scratch.Take<float>(columns), sums = scratch.Take<float>(tokens * segments);
        var integers = scratch.Take<int>(columns);
        float* scales = scratch.Take<float>(tokens * segments), tokenScales = scratch.Take<float>(tokens);
        var output = scratch.Take<float>((long)tokens * layout.PaddedRows);
        for (var token = 0; token < tokens; token++)
        {
            var input = new ReadOnlySpan<float>(x + (long)token * layout.InFeatures, layout.InFeatures);
            var table = tables + token * tableBytes;
            var tokenSums = new Span<float>(sums + token * segments, segments);
            if (integer is null)
                BuildFloats(input, padded, table, tokenSums);
            else
                tokenScales[token] = BuildIntegers(input, integers, table, tokenSums, new Span<float>(scales + token * segments, segments));
        }
        var job = new TileJob(weights, tokens, tables, tableBytes, sums, integer == ActivationScale.Group ? scales : null, output, layout.PaddedRows);
        var perToken = integer == ActivationScale.Token;
        var work = (long)layout.Count * layout.OutFeatures * layout.InFeatures * tokens;
        RowWorkers.Shared.Run(layout.Tiles, work < SignsForThreads ? 1 : threads, (firstTile, lastTile) =>
        {
            _kernel.Run(job, firstTile, lastTile);
            var firstRow = firstTile * TileRows;
            var rows = Math.Min(lastTile * TileRows, layout.OutFeatures) - firstRow;
            for (var token = 0; token < job.Tokens; token++)
            {
                var from = new ReadOnlySpan<float>(job.Output(token, firstTile), rows);
                var to = new Span<float>(y + (long)token * layout.OutFeatures + firstRow, rows);
                if (perToken)
                    Scale(from, tokenScales[token], to);
                else
                    from.CopyTo(to);
            }
        });
    }

    /// <summary>Inputs as the integer sums see them, for the dense product of many tokens.</summary>
    /// <param name="x">[tokens, in], fp32, contiguous.</param>
    public Tensor Rounded(Tensor x)
    {
        var rounded = torch.empty(x.shape);
        ReadOnlySpan<float> from = x.AsSpan<float>();
        var to = rounded.AsSpan<float>();
        var columns = weights.Layout.InFeatures;
        var integers = new int[columns];
        for (var token = 0; token < x.size(0); token++)
        {
            var input = from.Slice(token * columns, columns);
            var scale = 0f;
            for (var index = 0; index < weights.Layout.Segments.Length; index++)
            {
                var segment = weights.Layout.Segments[index];
                scale = ScaleOf(input, index, scale);
                var q = integers.AsSpan(0, segment.Columns);
                Int8Activations.Quantize(input.Slice(segment.FirstColumn, segment.Columns), scale, q);
                for (var k = 0; k < q.Length; k++)
                    to[token * columns + segment.FirstColumn + k] = q[k] * scale;
            }
        }
        return rounded;
    }

    /// <summary>Tables of one token's inputs, and their sums over each segment.</summary>
    /// <param name="input">[in]</param>
    /// <param name="padded">Scratch memory: [words · 32].</param>
    /// <param name="table">Of the kernel's form, aligned to 64 bytes.</param>
    /// <param name="sums">[segments]</param>
    public void BuildFloats(ReadOnlySpan<float> input, float* padded, byte* table, Span<float> sums)
    {
        Pad(weights.Layout, input, padded, sums);
        if (_eight)
            FloatTables.BuildEight(padded, weights.Layout.Words, (float*)table);
        else
            FloatTables.Build(padded, weights.Layout.Words, (float*)table);
    }

    /// <summary>Inputs with the columns that do not exist as 0, and their sums over each segment.</summary>
    /// <param name="layout">How columns are cut.</param>
    /// <param name="input">[in]</param>
    /// <param name="padded">[words · 32]</param>
    /// <param name="sums">[segments]</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Pad(TileLayout layout, ReadOnlySpan<float> input, float* padded, Span<float> sums)
    {
        var columns = new Span<float>(padded, layout.Words * WordColumns);
        for (var index = 0; index < layout.Segments.Length; index++)
        {
            var segment = layout.Segments[index];
            var inputs = input.Slice(segment.FirstColumn, segment.Columns);
            var place = columns.Slice(segment.FirstWord * WordColumns, segment.Words * WordColumns);
            inputs.CopyTo(place);
            place[inputs.Length..].Clear();
            sums[index] = Sum<float>(place);
        }
    }

    /// <summary>Returns the scale of the token; <paramref name="scales"/> gets those of the segments where groups have their own.</summary>
    private float BuildIntegers(ReadOnlySpan<float> input, int* integers, byte* table, Span<float> sums, Span<float> scales)
    {
        var columns = new Span<int>(integers, weights.Layout.Words * WordColumns);
        var segments = weights.Layout.Segments;
        var scale = 0f;
        for (var index = 0; index < segments.Length; index++)
        {
            var segment = segments[index];
            scales[index] = scale = ScaleOf(input, index, scale);
            var place = columns.Slice(segment.FirstWord * WordColumns, segment.Words * WordColumns);
            Int8Activations.Quantize(input.Slice(segment.FirstColumn, segment.Columns), scale, place);
            place[segment.Columns..].Clear();
            sums[index] = Sum<int>(place);
        }
        if (_pairs)
            IntegerTables.Build16(integers, weights.Layout.Words, (short*)table);
        else if (_eight)
            IntegerTables.BuildEight(integers, weights.Layout.Words, (int*)table);
        else
            IntegerTables.Build32(integers, weights.Layout.Words, (int*)table);
        return scale;
    }

    /// <summary>The scale of a segment; that of the segment before where they share it.</summary>
    private float ScaleOf(ReadOnlySpan<float> input, int index, float before)
    {
        var segments = weights.Layout.Segments;
        if (index > 0 && (integer == ActivationScale.Token || segments[index - 1].Group == segments[index].Group))
            return before;
        return Int8Activations.ScaleOf(integer == ActivationScale.Token ? input : input[segments[index].FirstColumn..EndOfGroup(index)]);
    }

    private int EndOfGroup(int index)
    {
        var segments = weights.Layout.Segments;
        var last = index;
        while (last + 1 < segments.Length && segments[last + 1].Group == segments[index].Group)
            last++;
        return segments[last].FirstColumn + segments[last].Columns;
    }

    /// <summary>The sum of words of 32 columns.</summary>
    private static T Sum<T>(ReadOnlySpan<T> words)
        where T : unmanaged
    {
        var sum = Vector256<T>.Zero;
        foreach (var block in MemoryMarshal.Cast<T, Vector256<T>>(words))
            sum += block;
        return Vector256.Sum(sum);
    }

    private static void Scale(ReadOnlySpan<float> from, float scale, Span<float> to)
    {
        for (var k = 0; k < from.Length; k++)
            to[k] = from[k] * scale;
    }
}
