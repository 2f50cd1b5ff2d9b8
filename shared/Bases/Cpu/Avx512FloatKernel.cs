using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using static Qbb.Bases.Cpu.TileLayout;

namespace Qbb.Bases.Cpu;

/// <summary>
/// AVX-512, tables in fp32: a table of 16 sums is one register, and vpermps looks it up for 16 rows at once by the low four bits of each
/// lane. Per 64 signs: one vpermps with the table as its memory operand, one addition and 7/8 of a shift.
/// </summary>
internal sealed unsafe class Avx512FloatKernel : CpuKernel
{
    /// <summary>Tables of 32 columns: 8 of 16 sums.</summary>
    private const int WordTable = 8 * 16;

    /// <summary>
    /// Words of signs fetched ahead, 4 KB: the loop runs too long on each line for the processor to see the next ones early enough, and
    /// its own prefetcher stops at the page.
    /// </summary>
    internal const int Ahead = 1024;

    /// <inheritdoc/>
    public override int TableBytesPerWord => WordTable * sizeof(float);

    /// <inheritdoc/>
    public override void Run(in TileJob job, int firstTile, int lastTile)
    {
        foreach (ref readonly var panel in job.Layout.Panels.AsSpan())
        {
            for (var tile = firstTile; tile < lastTile; tile++)
            {
                var token = 0;
                for (; token + 4 <= job.Tokens; token += 4)
                    FourTokens(job, panel, tile, token);
                for (; token < job.Tokens; token++)
                    OneToken(job, panel, tile, token);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Look(float* table, Vector512<int> codes) => Avx512F.PermuteVar16x32(Vector512.LoadAligned(table), codes);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void OneToken(in TileJob job, in ColumnPanel panel, int tile, int token)
    {
        var layout = job.Layout;
        var signs = (int*)job.Weights.Signs + layout.SignsAt(panel, tile);
        var scales = job.Weights.Scales + layout.ScalesAt(panel, tile);
        var table = (float*)job.Tables(token, panel.FirstWord, WordTable * sizeof(float));
        var sums = job.Sums + (long)token * layout.Segments.Length;
        var output = job.Output(token, tile);
        var y = panel.FirstSegment == 0 ? Vector512<float>.Zero : Vector512.Load(output);
        for (var segment = panel.FirstSegment; segment < panel.FirstSegment + panel.Segments; segment++)
        {
            var words = layout.Segments[segment].Words;
            if (layout.HasBias)
            {
                y = Vector512.FusedMultiplyAdd(HalfLanes.Load16(scales), Vector512.Create(sums[segment]), y);
                scales += TileRows;
            }
            for (var basis = 0; basis < layout.Count; basis++)
            {
                // Four chains of additions, since each has a latency of four.
                Vector512<float> a = default, b = default, c = default, d = default;
                var t = table;
                for (var word = 0; word < words; word++)
                {
                    var codes = Vector512.LoadAligned(signs);
                    Sse.Prefetch0(signs + Ahead);
                    a += Look(t, codes);
                    b += Look(t + 16, codes >>> 4);
                    c += Look(t + 32, codes >>> 8);
                    d += Look(t + 48, codes >>> 12);
                    a += Look(t + 64, codes >>> 16);
                    b += Look(t + 80, codes >>> 20);
                    c += Look(t + 96, codes >>> 24);
                    d += Look(t + 112, codes >>> 28);
                    t += WordTable;
                    signs += TileRows;
                }
                y = Vector512.FusedMultiplyAdd(a + b + (c + d), HalfLanes.Load16(scales), y);
                scales += TileRows;
            }
            table += words * WordTable;
        }
        y.Store(output);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FourTokens(in TileJob job, in ColumnPanel panel, int tile, int token)
    {
        var layout = job.Layout;
        var signs = (int*)job.Weights.Signs + layout.SignsAt(panel, tile);
        var scales = job.Weights.Scales + layout.ScalesAt(panel, tile);
        var table = (float*)job.Tables(token, panel.FirstWord, WordTable * sizeof(float));
        var next = (float*)job.Tables(token + 1, panel.FirstWord, WordTable * sizeof(float)) - table;
        float* y0 = job.Output(token, tile), y1 = job.Output(token + 1, tile), y2 = job.Output(token + 2, tile), y3 = job.Output(token + 3, tile);
        Vector512<float> sum0 = default, sum1 = default, sum2 = default, sum3 = default;
        for (var segment = panel.FirstSegment; segment < panel.FirstSegment + panel.Segments; segment++)
        {
            var words = layout.Segments[segment].Words;
            if (layout.HasBias)
            {
                var beta = HalfLanes.Load16(scales);
                var sums = job.Sums + (long)token * layout.Segments.Length + segment;
                sum0 = Vector512.FusedMultiplyAdd(beta, Vector512.Create(sums[0]), sum0);
                sum1 = Vector512.FusedMultiplyAdd(beta, Vector512.Create(sums[layout.Segments.Length]), sum1);
                sum2 = Vector512.FusedMultiplyAdd(beta, Vector512.Create(sums[2 * layout.Segments.Length]), sum2);
                sum3 = Vector512.FusedMultiplyAdd(beta, Vector512.Create(sums[3 * layout.Segments.Length]), sum3);
                scales += TileRows;
            }
            for (var basis = 0; basis < layout.Count; basis++)
            {
                Vector512<float> a = default, b = default, c = default, d = default;
                float* t0 = table, t1 = table + next, t2 = t1 + next, t3 = t2 + next;
                for (var word = 0; word < words; word++)
                {
                    var codes = Vector512.LoadAligned(signs);
                    Sse.Prefetch0(signs + Ahead);
                    for (var at = 0; at < WordTable; at += 16)
                    {
                        a += Look(t0 + at, codes);
                        b += Look(t1 + at, codes);
                        c += Look(t2 + at, codes);
                        d += Look(t3 + at, codes);
                        codes >>>= 4;
                    }
                    t0 += WordTable;
                    t1 += WordTable;
                    t2 += WordTable;
                    t3 += WordTable;
                    signs += TileRows;
                }
                var alpha = HalfLanes.Load16(scales);
                sum0 = Vector512.FusedMultiplyAdd(a, alpha, sum0);
                sum1 = Vector512.FusedMultiplyAdd(b, alpha, sum1);
                sum2 = Vector512.FusedMultiplyAdd(c, alpha, sum2);
                sum3 = Vector512.FusedMultiplyAdd(d, alpha, sum3);
                scales += TileRows;
            }
            table += words * WordTable;
        }
        if (panel.FirstSegment > 0)
            (sum0, sum1, sum2, sum3) = (sum0 + Vector512.Load(y0), sum1 + Vector512.Load(y1), sum2 + Vector512.Load(y2), sum3 + Vector512.Load(y3));
        sum0.Store(y0);
        sum1.Store(y1);
        sum2.Store(y2);
        sum3.Store(y3);
    }
}
