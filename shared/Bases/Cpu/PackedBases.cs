using System.Runtime.CompilerServices;
using static Qbb.Bases.Cpu.TileLayout;

namespace Qbb.Bases.Cpu;

/// <summary>
/// Binary bases in the order in which the processor's kernels read them, see <see cref="TileLayout"/>. Made once when a layer is first
/// used; nothing is lost, <see cref="Unpack"/> gives the same bases back, but that the biases of a grid with free minima are rounded to fp16.
/// </summary>
internal sealed unsafe class PackedBases : IDisposable
{
    private readonly AlignedBuffer? _memory;
    private readonly int _groupSize;

    private PackedBases(TileLayout layout, int groupSize, AlignedBuffer memory) : this(layout, groupSize, memory.Pointer) => _memory = memory;

    /// <summary>A weight that was packed before, or will be by <see cref="Fill"/>.</summary>
    /// <param name="layout">Its parts.</param>
    /// <param name="groupSize">Columns of a group.</param>
    /// <param name="memory">As many bytes as <see cref="SizeOf"/> says, at a cache line; must outlive the weight.</param>
    public PackedBases(TileLayout layout, int groupSize, byte* memory)
    {
        (Layout, _groupSize) = (layout, groupSize);
        Signs = (uint*)memory;
        Scales = (Half*)(memory + SignBytes(layout));
    }

    public TileLayout Layout { get; }

    /// <summary>Codes of signs.</summary>
    public uint* Signs { get; }

    /// <summary>β and α.</summary>
    public Half* Scales { get; }

    /// <summary>Bytes that a product reads.</summary>
    public long Bytes => SizeOf(Layout);

    /// <summary>Bytes of a packed weight.</summary>
    public static long SizeOf(TileLayout layout) => SignBytes(layout) + layout.Scales * sizeof(Half);

    /// <summary>Packs all rows into memory of its own.</summary>
    public static PackedBases Pack(BinaryBases bases)
    {
        var layout = new TileLayout(bases.Count, bases.OutFeatures, bases.InFeatures, bases.GroupSize, bases.HasBias);
        var packed = new PackedBases(layout, bases.GroupSize, new AlignedBuffer(SizeOf(layout)));
        packed.Fill(bases);
        return packed;
    }

    /// <summary>Packs all rows.</summary>
    public void Fill(BinaryBases bases) => Parallel.For(0, Layout.Tiles, tile =>
    {
        foreach (ref readonly var panel in Layout.Panels.AsSpan())
            PackTile(bases, panel, tile);
    });

    /// <summary>The bases that were packed; padding bits are 0.</summary>
    public BinaryBases Unpack()
    {
        var (count, rows, columns) = (Layout.Count, Layout.OutFeatures, Layout.InFeatures);
        var (words, groups) = (SignPacking.WordsPerRow(columns), (columns - 1) / _groupSize + 1);
        var planes = new uint[count * rows * words];
        var alpha = new Half[count * rows * groups];
        var beta = Layout.HasBias ? new Half[rows * groups] : null;
        Parallel.For(0, Layout.Tiles, tile =>
        {
            foreach (ref readonly var panel in Layout.Panels.AsSpan())
            {
                var signs = Signs + Layout.SignsAt(panel, tile);
                var scales = Scales + Layout.ScalesAt(panel, tile);
                for (var index = panel.FirstSegment; index < panel.FirstSegment + panel.Segments; index++)
                {
                    var segment = Layout.Segments[index];
                    for (var lane = 0; lane < TileRows && tile * TileRows + lane < rows; lane++)
                    {
                        var row = tile * TileRows + lane;
                        if (beta != null)
                            beta[row * groups + segment.Group] = scales[lane];
                        for (var basis = 0; basis < count; basis++)
                        {
                            alpha[(basis * rows + row) * groups + segment.Group] = scales[(Layout.ScaleRows - count + basis) * TileRows + lane];
                            for (var word = 0; word < segment.Words; word++)
                                Put(planes.AsSpan((basis * rows + row) * words, words), segment, word,
                                    NibbleCode.Turn(signs[(basis * segment.Words + word) * TileRows + lane]));
                        }
                    }
                    signs += count * segment.Words * TileRows;
                    scales += Layout.ScaleRows * TileRows;
                }
            }
        });
        return new BinaryBases(count, rows, columns, _groupSize, planes, alpha, beta);
    }

    public void Dispose() => _memory?.Dispose();

    /// <summary>Scales begin at a cache line, too.</summary>
    private static long SignBytes(TileLayout layout) => (layout.SignWords * sizeof(uint) + 63) / 64 * 64;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void PackTile(BinaryBases bases, in ColumnPanel panel, int tile)
    {
        var signs = Signs + Layout.SignsAt(panel, tile);
        var scales = Scales + Layout.ScalesAt(panel, tile);
        for (var index = panel.FirstSegment; index < panel.FirstSegment + panel.Segments; index++)
        {
            var segment = Layout.Segments[index];
            if (bases.HasBias)
                for (var lane = 0; lane < TileRows; lane++)
                    *scales++ = tile * TileRows + lane < bases.OutFeatures ? (Half)bases.Bias(tile * TileRows + lane, segment.Group) : default;
            for (var basis = 0; basis < bases.Count; basis++)
            {
                for (var word = 0; word < segment.Words; word++)
                    for (var lane = 0; lane < TileRows; lane++)
                        *signs++ = tile * TileRows + lane < bases.OutFeatures
                            ? NibbleCode.Turn(Take(bases.Row(basis, tile * TileRows + lane), segment, word))
                            : 0;
                for (var lane = 0; lane < TileRows; lane++)
                    *scales++ = tile * TileRows + lane < bases.OutFeatures ? bases.Scale(basis, tile * TileRows + lane, segment.Group) : default;
            }
        }
    }

    /// <summary>32 signs of a segment from a plain row; those after its last column are 0.</summary>
    internal static uint Take(ReadOnlySpan<uint> row, in ColumnSegment segment, int word)
    {
        var first = segment.FirstColumn + word * WordColumns;
        var shift = first & 31;
        var signs = row[first >> 5] >> shift;
        if (shift != 0 && (first >> 5) + 1 < row.Length)
            signs |= row[(first >> 5) + 1] << 32 - shift;
        return signs & Mask(segment, word);
    }

    private static void Put(Span<uint> row, in ColumnSegment segment, int word, uint signs)
    {
        signs &= Mask(segment, word);
        var first = segment.FirstColumn + word * WordColumns;
        var shift = first & 31;
        row[first >> 5] |= signs << shift;
        if (shift != 0 && (first >> 5) + 1 < row.Length)
            row[(first >> 5) + 1] |= signs >> 32 - shift;
    }

    private static uint Mask(in ColumnSegment segment, int word)
    {
        var columns = segment.Columns - word * WordColumns;
        return columns >= WordColumns ? uint.MaxValue : (1u << columns) - 1;
    }
}
