using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Qbb.Models;
using static Qbb.Bases.Cpu.TileLayout;

namespace Qbb.Bases.Cpu;

/// <summary>
/// Products of many tokens: a few hundred rows at a time are expanded into a buffer that stays in the cache and multiplied by libtorch, so
/// the dense weight never exists as a whole.
/// </summary>
internal static unsafe class TileExpansion
{
    /// <summary>Elements of the buffer, 8 MB: rows enough for a dense product to run at speed.</summary>
    private const int BufferElements = 1 << 21;

    /// <summary>y = x Ŵᵀ.</summary>
    /// <param name="weights">The packed weight [out, in].</param>
    /// <param name="x">[tokens, in], fp32, contiguous.</param>
    /// <param name="threads">Threads at most.</param>
    /// <returns>[tokens, out]</returns>
    public static Tensor Multiply(PackedBases weights, Tensor x, int threads)
    {
        using var scope = torch.NewDisposeScope();
        using var off = torch.no_grad();
        var layout = weights.Layout;
        var atOnce = Math.Clamp(BufferElements / layout.InFeatures / TileRows, 1, layout.Tiles);
        var buffer = torch.empty([(long)atOnce * TileRows, layout.InFeatures]);
        var y = torch.empty([x.size(0), layout.OutFeatures]);
        for (var firstTile = 0; firstTile < layout.Tiles; firstTile += atOnce)
        {
            using var inner = torch.NewDisposeScope();
            var tiles = Math.Min(atOnce, layout.Tiles - firstTile);
            fixed (float* rows = buffer.AsSpan<float>())
            {
                var first = firstTile;
                var destination = rows;
                RowWorkers.Shared.Run(tiles, threads, (from, to) =>
                {
                    for (var tile = from; tile < to; tile++)
                        Expand(weights, first + tile, destination + (long)tile * TileRows * layout.InFeatures);
                });
            }
            var count = Math.Min(tiles * TileRows, layout.OutFeatures - firstTile * TileRows);
            y.narrow(1, (long)firstTile * TileRows, count).copy_(torch.nn.functional.linear(x, buffer.narrow(0, 0, count)));
        }
        return y.MoveToOuterDisposeScope();
    }

    /// <summary>All 16 rows of a tile, also those that do not exist, into [16, in].</summary>
    public static void Expand(PackedBases weights, int tile, float* rows)
    {
        var layout = weights.Layout;
        var scales = stackalloc float[(BinaryBases.MostBases + 1) * TileRows];
        foreach (ref readonly var panel in layout.Panels.AsSpan())
        {
            var signs = weights.Signs + layout.SignsAt(panel, tile);
            var halves = weights.Scales + layout.ScalesAt(panel, tile);
            for (var index = panel.FirstSegment; index < panel.FirstSegment + panel.Segments; index++)
            {
                ref readonly var segment = ref layout.Segments[index];
                for (var row = 0; row < layout.ScaleRows; row++)
                    HalfLanes.Load16(halves + row * TileRows).Store(scales + row * TileRows);
                for (var lane = 0; lane < TileRows; lane++)
                    ExpandRow(signs + lane, scales + lane, layout, segment, rows + (long)lane * layout.InFeatures + segment.FirstColumn);
                signs += segment.Words * layout.Count * TileRows;
                halves += layout.ScaleRows * TileRows;
            }
        }
    }

    // scales has β first, where there is one, then the α.
    private static void ExpandRow(uint* signs, float* scales, TileLayout layout, in ColumnSegment segment, float* row)
    {
        var beta = Vector512.Create(layout.HasBias ? scales[0] : 0);
        var alpha = scales + (layout.HasBias ? TileRows : 0);
        var tail = stackalloc float[WordColumns];
        for (var word = 0; word < segment.Words; word++)
        {
            Vector512<float> left = beta, right = beta;
            for (var basis = 0; basis < layout.Count; basis++)
            {
                var bits = NibbleCode.Turn(signs[(basis * segment.Words + word) * TileRows]);
                var scale = Vector512.Create(alpha[basis * TileRows]);
                left += Signed(scale, bits);
                right += Signed(scale, bits >> 16);
            }
            var columns = segment.Columns - word * WordColumns;
            var whole = columns >= WordColumns;
            left.Store(whole ? row : tail);
            right.Store((whole ? row : tail) + Vector512<float>.Count);
            if (!whole)
                new ReadOnlySpan<float>(tail, columns).CopyTo(new Span<float>(row, columns));
            row += WordColumns;
        }
    }

    /// <summary>The scale in 16 lanes, negated where the lane's bit is 0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Signed(Vector512<float> scale, uint bits)
    {
        var lanes = Vector512.Create(1u, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768);
        var negative = Vector512.Equals(Vector512.Create(bits) & lanes, Vector512<uint>.Zero) & Vector512.Create(0x8000_0000);
        return (scale.AsUInt32() ^ negative).AsSingle();
    }
}
