using System.Numerics;
using System.Runtime.CompilerServices;
using static Qbb.Bases.Cpu.TileLayout;

namespace Qbb.Bases.Cpu;

/// <summary>Plain code for any processor: one load from a table and one addition for four signs of one row.</summary>
internal sealed unsafe class PortableKernel<T> : CpuKernel
    where T : unmanaged, INumber<T>
{
    private const int WordTable = 8 * 16;

    /// <inheritdoc/>
    public override int TableBytesPerWord => WordTable * sizeof(T);

    /// <inheritdoc/>
    public override void Run(in TileJob job, int firstTile, int lastTile)
    {
        foreach (ref readonly var panel in job.Layout.Panels.AsSpan())
            for (var tile = firstTile; tile < lastTile; tile++)
                for (var token = 0; token < job.Tokens; token++)
                    OneToken(job, panel, tile, token);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void OneToken(in TileJob job, in ColumnPanel panel, int tile, int token)
    {
        var layout = job.Layout;
        var signs = job.Weights.Signs + layout.SignsAt(panel, tile);
        var scales = job.Weights.Scales + layout.ScalesAt(panel, tile);
        var table = (T*)job.Tables(token, panel.FirstWord, WordTable * sizeof(T));
        var output = job.Output(token, tile);
        if (panel.FirstSegment == 0)
            new Span<float>(output, TileRows).Clear();
        var part = stackalloc float[TileRows];
        for (var segment = panel.FirstSegment; segment < panel.FirstSegment + panel.Segments; segment++)
        {
            var words = layout.Segments[segment].Words;
            var at = (long)token * layout.Segments.Length + segment;
            new Span<float>(part, TileRows).Clear();
            if (layout.HasBias)
            {
                for (var lane = 0; lane < TileRows; lane++)
                    part[lane] = (float)scales[lane] * job.Sums[at];
                scales += TileRows;
            }
            for (var basis = 0; basis < layout.Count; basis++)
            {
                for (var lane = 0; lane < TileRows; lane++)
                    part[lane] += (float)scales[lane] * float.CreateTruncating(Sum(signs + lane, table, words));
                signs += words * TileRows;
                scales += TileRows;
            }
            var scale = job.Scales == null ? 1 : job.Scales[at];
            for (var lane = 0; lane < TileRows; lane++)
                output[lane] += part[lane] * scale;
            table += words * WordTable;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static T Sum(uint* signs, T* table, int words)
    {
        T a = T.Zero, b = T.Zero;
        for (var word = 0; word < words; word++)
        {
            var codes = *signs;
            for (var four = 0; four < 8; four += 2)
            {
                a += table[codes & 15];
                b += table[16 + (codes >> 4 & 15)];
                codes >>= 8;
                table += 32;
            }
            signs += TileRows;
        }
        return a + b;
    }
}
