using System.Runtime.CompilerServices;
using static Qbb.Bases.Cpu.TileLayout;

namespace Qbb.Bases.Cpu;

/// <summary>
/// Binary bases in the order of <see cref="ByteKernel"/>: rows in tiles of 32, columns as in <see cref="TileLayout"/>. Signs, per panel, tile, segment and
/// plane: one line of 32 bytes for every eight columns, byte r the signs of row r. Scales, per panel, tile and segment: 32 β where there is a bias plane, then
/// 32 α for each plane.
/// </summary>
internal sealed unsafe class ByteTiles
{
    /// <summary>Rows of a tile: bytes of a register of AVX2.</summary>
    public const int Rows = 32;

    /// <summary>Columns whose signs one byte holds.</summary>
    public const int LineColumns = 8;

    private const int WordLines = WordColumns / LineColumns;

    /// <param name="layout">How columns are cut; the tiles are not these.</param>
    /// <param name="memory">As many bytes as <see cref="SizeOf"/> says, at a cache line; must outlive this.</param>
    public ByteTiles(TileLayout layout, byte* memory)
    {
        Layout = layout;
        Signs = memory;
        Scales = (Half*)(memory + SignBytes(layout));
    }

    public TileLayout Layout { get; }

    public byte* Signs { get; }

    public Half* Scales { get; }

    /// <summary>Tiles of 32 rows; rows of the last tile that do not exist have scales of 0.</summary>
    public int Tiles => TilesOf(Layout);

    /// <summary>Bytes of a packed weight.</summary>
    public static long SizeOf(TileLayout layout) => SignBytes(layout) + (long)layout.Segments.Length * layout.ScaleRows * TilesOf(layout) * Rows * sizeof(Half);

    /// <summary>The first line of signs of a tile in a panel.</summary>
    public byte* SignsAt(in ColumnPanel panel, int tile) => Signs + ((long)panel.FirstWord * Tiles + (long)tile * panel.Words) * Layout.Count * WordLines * Rows;

    /// <summary>The first scale of a tile in a panel.</summary>
    public Half* ScalesAt(in ColumnPanel panel, int tile) => Scales + ((long)panel.FirstSegment * Tiles + (long)tile * panel.Segments) * Layout.ScaleRows * Rows;

    /// <summary>Lines of a segment.</summary>
    public static int LinesOf(in ColumnSegment segment) => segment.Words * WordLines;

    /// <summary>Packs all rows.</summary>
    public void Fill(BinaryBases bases) => Parallel.For(0, Tiles, tile =>
    {
        foreach (ref readonly var panel in Layout.Panels.AsSpan())
            Fill(bases, panel, tile);
    });

    private static int TilesOf(TileLayout layout) => (layout.OutFeatures + Rows - 1) / Rows;

    private static long SignBytes(TileLayout layout) => (long)layout.Words * layout.Count * WordLines * TilesOf(layout) * Rows;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Fill(BinaryBases bases, in ColumnPanel panel, int tile)
    {
        var signs = SignsAt(panel, tile);
        var scales = ScalesAt(panel, tile);
        for (var index = panel.FirstSegment; index < panel.FirstSegment + panel.Segments; index++)
        {
            var segment = Layout.Segments[index];
            for (var lane = 0; lane < Rows && bases.HasBias; lane++)
                *scales++ = tile * Rows + lane < bases.OutFeatures ? (Half)bases.Bias(tile * Rows + lane, segment.Group) : default;
            for (var basis = 0; basis < bases.Count; basis++)
            {
                for (var lane = 0; lane < Rows; lane++)
                {
                    var row = tile * Rows + lane;
                    *scales++ = row < bases.OutFeatures ? bases.Scale(basis, row, segment.Group) : default;
                    for (var word = 0; word < segment.Words; word++)
                    {
                        var bits = row < bases.OutFeatures ? PackedBases.Take(bases.Row(basis, row), segment, word) : 0;
                        for (var line = 0; line < WordLines; line++)
                            signs[(word * WordLines + line) * Rows + lane] = (byte)(bits >> line * LineColumns);
                    }
                }
                signs += segment.Words * WordLines * Rows;
            }
        }
    }
}
