using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using static Qbb.Bases.Cpu.TileLayout;

namespace Qbb.Bases.Cpu;

/// <summary>
/// AVX-512, tables in 16 bits: vpermw looks up 32 sums at once, for 16 rows in two tables (<see cref="IntegerTables.Build16"/>): the lower
/// half of each lane in the first, the upper half in the second. A 16-bit lane sums half of a segment's columns, at most 128 · 127.
/// Per 128 signs: one vpermw, one ternary logic, one addition and 3/4 of a shift.
/// </summary>
internal sealed unsafe class Avx512IntegerKernel : CpuKernel
{
    /// <summary>Tables of 32 columns: 4 of 2 · 16 sums.</summary>
    private const int WordTable = 4 * 32;

    /// <inheritdoc/>
    public override int TableBytesPerWord => WordTable * sizeof(short);

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

    /// <summary>Four bits of each half, and a fifth that tells the halves apart.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<short> Codes(Vector512<int> codes) =>
        (codes & Vector512.Create(0x000F_000F) | Vector512.Create(0x0010_0000)).AsInt16();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<short> Look(short* table, Vector512<short> codes) => Avx512BW.PermuteVar32x16(Vector512.LoadAligned(table), codes);

    /// <summary>The sum of both halves of each lane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Both(Vector512<short> sums) =>
        Vector512.ConvertToSingle(Avx512BW.MultiplyAddAdjacent(sums, Vector512<short>.One));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Scaled(Vector512<float> sum, in TileJob job, int token, int segment) =>
        job.Scales == null ? sum : sum * Vector512.Create(job.Scales[(long)token * job.Layout.Segments.Length + segment]);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void OneToken(in TileJob job, in ColumnPanel panel, int tile, int token)
    {
        var layout = job.Layout;
        var signs = (int*)job.Weights.Signs + layout.SignsAt(panel, tile);
        var scales = job.Weights.Scales + layout.ScalesAt(panel, tile);
        var table = (short*)job.Tables(token, panel.FirstWord, WordTable * sizeof(short));
        var sums = job.Sums + (long)token * layout.Segments.Length;
        var output = job.Output(token, tile);
        var y = panel.FirstSegment == 0 ? Vector512<float>.Zero : Vector512.Load(output);
        for (var segment = panel.FirstSegment; segment < panel.FirstSegment + panel.Segments; segment++)
        {
            var words = layout.Segments[segment].Words;
            var part = Vector512<float>.Zero;
            if (layout.HasBias)
            {
                part = HalfLanes.Load16(scales) * Vector512.Create(sums[segment]);
                scales += TileRows;
            }
            for (var basis = 0; basis < layout.Count; basis++)
            {
                Vector512<short> a = default, b = default;
                var t = table;
                for (var word = 0; word < words; word++)
                {
                    var codes = Vector512.LoadAligned(signs);
                    Sse.Prefetch0(signs + Avx512FloatKernel.Ahead);
                    a += Look(t, Codes(codes));
                    b += Look(t + 32, Codes(codes >>> 4));
                    a += Look(t + 64, Codes(codes >>> 8));
                    b += Look(t + 96, Codes(codes >>> 12));
                    t += WordTable;
                    signs += TileRows;
                }
                part = Vector512.FusedMultiplyAdd(Both(a + b), HalfLanes.Load16(scales), part);
                scales += TileRows;
            }
            y += Scaled(part, job, token, segment);
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
        var table = (short*)job.Tables(token, panel.FirstWord, WordTable * sizeof(short));
        var next = (short*)job.Tables(token + 1, panel.FirstWord, WordTable * sizeof(short)) - table;
        float* y0 = job.Output(token, tile), y1 = job.Output(token + 1, tile), y2 = job.Output(token + 2, tile), y3 = job.Output(token + 3, tile);
        Vector512<float> sum0 = default, sum1 = default, sum2 = default, sum3 = default;
        for (var segment = panel.FirstSegment; segment < panel.FirstSegment + panel.Segments; segment++)
        {
            var words = layout.Segments[segment].Words;
            Vector512<float> part0 = default, part1 = default, part2 = default, part3 = default;
            if (layout.HasBias)
            {
                var beta = HalfLanes.Load16(scales);
                var sums = job.Sums + (long)token * layout.Segments.Length + segment;
                part0 = beta * Vector512.Create(sums[0]);
                part1 = beta * Vector512.Create(sums[layout.Segments.Length]);
                part2 = beta * Vector512.Create(sums[2 * layout.Segments.Length]);
                part3 = beta * Vector512.Create(sums[3 * layout.Segments.Length]);
                scales += TileRows;
            }
            for (var basis = 0; basis < layout.Count; basis++)
            {
                Vector512<short> a = default, b = default, c = default, d = default;
                short* t0 = table, t1 = table + next, t2 = t1 + next, t3 = t2 + next;
                for (var word = 0; word < words; word++)
                {
                    var codes = Vector512.LoadAligned(signs);
                    Sse.Prefetch0(signs + Avx512FloatKernel.Ahead);
                    for (var at = 0; at < WordTable; at += 32)
                    {
                        var halves = Codes(codes);
                        a += Look(t0 + at, halves);
                        b += Look(t1 + at, halves);
                        c += Look(t2 + at, halves);
                        d += Look(t3 + at, halves);
                        codes >>>= 4;
                    }
                    t0 += WordTable;
                    t1 += WordTable;
                    t2 += WordTable;
                    t3 += WordTable;
                    signs += TileRows;
                }
                var alpha = HalfLanes.Load16(scales);
                part0 = Vector512.FusedMultiplyAdd(Both(a), alpha, part0);
                part1 = Vector512.FusedMultiplyAdd(Both(b), alpha, part1);
                part2 = Vector512.FusedMultiplyAdd(Both(c), alpha, part2);
                part3 = Vector512.FusedMultiplyAdd(Both(d), alpha, part3);
                scales += TileRows;
            }
            sum0 += Scaled(part0, job, token, segment);
            sum1 += Scaled(part1, job, token + 1, segment);
            sum2 += Scaled(part2, job, token + 2, segment);
            sum3 += Scaled(part3, job, token + 3, segment);
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
