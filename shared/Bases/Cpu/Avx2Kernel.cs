using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using static Qbb.Bases.Cpu.TileLayout;

namespace Qbb.Bases.Cpu;

/// <summary>
/// AVX2: the first half of a table is one register of eight lanes, vpermps or vpermd looks it up for eight rows by the low three bits of a
/// code, and the fourth bit negates. Per 32 signs: one permutation, two shifts, two logic operations, one addition.
/// </summary>
internal sealed unsafe class Avx2Kernel<T, TLanes> : CpuKernel
    where T : unmanaged
    where TLanes : struct, IEightLanes<T>
{
    private const int WordTable = 8 * Lanes;
    private const int Lanes = 8;

    /// <inheritdoc/>
    public override int TableBytesPerWord => WordTable * sizeof(T);

    /// <inheritdoc/>
    public override void Run(in TileJob job, int firstTile, int lastTile)
    {
        foreach (ref readonly var panel in job.Layout.Panels.AsSpan())
        {
            for (var tile = firstTile; tile < lastTile; tile++)
            {
                for (var lane = 0; lane < TileRows; lane += Lanes)
                {
                    var token = 0;
                    for (; token + 4 <= job.Tokens; token += 4)
                        FourTokens(job, panel, tile, lane, token);
                    for (; token < job.Tokens; token++)
                        OneToken(job, panel, tile, lane, token);
                }
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Scaled(Vector256<float> sum, in TileJob job, int token, int segment) =>
        job.Scales == null ? sum : sum * Vector256.Create(job.Scales[(long)token * job.Layout.Segments.Length + segment]);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void OneToken(in TileJob job, in ColumnPanel panel, int tile, int lane, int token)
    {
        var layout = job.Layout;
        var signs = (int*)job.Weights.Signs + layout.SignsAt(panel, tile) + lane;
        var scales = job.Weights.Scales + layout.ScalesAt(panel, tile) + lane;
        var table = (T*)job.Tables(token, panel.FirstWord, WordTable * sizeof(T));
        var sums = job.Sums + (long)token * layout.Segments.Length;
        var output = job.Output(token, tile) + lane;
        var y = panel.FirstSegment == 0 ? Vector256<float>.Zero : Vector256.Load(output);
        for (var segment = panel.FirstSegment; segment < panel.FirstSegment + panel.Segments; segment++)
        {
            var words = layout.Segments[segment].Words;
            var part = Vector256<float>.Zero;
            if (layout.HasBias)
            {
                part = HalfLanes.Load8(scales) * Vector256.Create(sums[segment]);
                scales += TileRows;
            }
            for (var basis = 0; basis < layout.Count; basis++)
            {
                Vector256<T> a = default, b = default, c = default, d = default;
                var t = table;
                for (var word = 0; word < words; word++)
                {
                    var codes = Vector256.LoadAligned(signs);
                    Sse.Prefetch0(signs + Avx512FloatKernel.Ahead);
                    a = TLanes.Add(a, t, codes, codes << 28);
                    b = TLanes.Add(b, t + 8, codes >>> 4, codes << 24);
                    c = TLanes.Add(c, t + 16, codes >>> 8, codes << 20);
                    d = TLanes.Add(d, t + 24, codes >>> 12, codes << 16);
                    a = TLanes.Add(a, t + 32, codes >>> 16, codes << 12);
                    b = TLanes.Add(b, t + 40, codes >>> 20, codes << 8);
                    c = TLanes.Add(c, t + 48, codes >>> 24, codes << 4);
                    d = TLanes.Add(d, t + 56, codes >>> 28, codes);
                    t += WordTable;
                    signs += TileRows;
                }
                part = Vector256.FusedMultiplyAdd(TLanes.ToSingle(a + b + (c + d)), HalfLanes.Load8(scales), part);
                scales += TileRows;
            }
            y += Scaled(part, job, token, segment);
            table += words * WordTable;
        }
        y.Store(output);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FourTokens(in TileJob job, in ColumnPanel panel, int tile, int lane, int token)
    {
        var layout = job.Layout;
        var signs = (int*)job.Weights.Signs + layout.SignsAt(panel, tile) + lane;
        var scales = job.Weights.Scales + layout.ScalesAt(panel, tile) + lane;
        var table = (T*)job.Tables(token, panel.FirstWord, WordTable * sizeof(T));
        var next = (T*)job.Tables(token + 1, panel.FirstWord, WordTable * sizeof(T)) - table;
        for (var segment = panel.FirstSegment; segment < panel.FirstSegment + panel.Segments; segment++)
        {
            var words = layout.Segments[segment].Words;
            Vector256<float> part0 = default, part1 = default, part2 = default, part3 = default;
            if (layout.HasBias)
            {
                var beta = HalfLanes.Load8(scales);
                var sums = job.Sums + (long)token * layout.Segments.Length + segment;
                part0 = beta * Vector256.Create(sums[0]);
                part1 = beta * Vector256.Create(sums[layout.Segments.Length]);
                part2 = beta * Vector256.Create(sums[2 * layout.Segments.Length]);
                part3 = beta * Vector256.Create(sums[3 * layout.Segments.Length]);
                scales += TileRows;
            }
            for (var basis = 0; basis < layout.Count; basis++)
            {
                Vector256<T> a = default, b = default, c = default, d = default;
                T* t0 = table, t1 = table + next, t2 = t1 + next, t3 = t2 + next;
                for (var word = 0; word < words; word++)
                {
                    var codes = Vector256.LoadAligned(signs);
                    Sse.Prefetch0(signs + Avx512FloatKernel.Ahead);
                    for (var four = 0; four < 8; four++)
                    {
                        var sign = codes << 28;
                        a = TLanes.Add(a, t0 + four * Lanes, codes, sign);
                        b = TLanes.Add(b, t1 + four * Lanes, codes, sign);
                        c = TLanes.Add(c, t2 + four * Lanes, codes, sign);
                        d = TLanes.Add(d, t3 + four * Lanes, codes, sign);
                        codes >>>= 4;
                    }
                    t0 += WordTable;
                    t1 += WordTable;
                    t2 += WordTable;
                    t3 += WordTable;
                    signs += TileRows;
                }
                var alpha = HalfLanes.Load8(scales);
                part0 = Vector256.FusedMultiplyAdd(TLanes.ToSingle(a), alpha, part0);
                part1 = Vector256.FusedMultiplyAdd(TLanes.ToSingle(b), alpha, part1);
                part2 = Vector256.FusedMultiplyAdd(TLanes.ToSingle(c), alpha, part2);
                part3 = Vector256.FusedMultiplyAdd(TLanes.ToSingle(d), alpha, part3);
                scales += TileRows;
            }
            var starts = segment == 0;
            Put(job.Output(token, tile) + lane, Scaled(part0, job, token, segment), starts);
            Put(job.Output(token + 1, tile) + lane, Scaled(part1, job, token + 1, segment), starts);
            Put(job.Output(token + 2, tile) + lane, Scaled(part2, job, token + 2, segment), starts);
            Put(job.Output(token + 3, tile) + lane, Scaled(part3, job, token + 3, segment), starts);
            table += words * WordTable;
        }
    }

    /// <summary>Sixteen registers do not hold the sums of a panel besides those of a segment.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Put(float* output, Vector256<float> part, bool starts) =>
        (starts ? part : part + Vector256.Load(output)).Store(output);
}
