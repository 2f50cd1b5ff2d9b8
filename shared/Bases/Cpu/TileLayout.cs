namespace Qbb.Bases.Cpu;

/// <summary>
/// Where the parts of a packed weight lie. Rows come in tiles of 16 (one AVX-512 register of 32-bit lanes), columns in segments of one
/// group each, segments in panels. Signs, per panel, tile, segment and plane: one line of 16 words for each 32 columns, lane r the code
/// (<see cref="NibbleCode"/>) of row r. Scales, per panel, tile and segment: 16 β where there is a bias plane, then 16 α for each plane.
/// </summary>
internal sealed class TileLayout
{
    /// <summary>Rows of a tile.</summary>
    public const int TileRows = 16;

    /// <summary>Columns of which one word holds the signs.</summary>
    public const int WordColumns = 32;

    /// <summary>
    /// Columns of a panel at most: the tables of eight tokens then take 32 KB. A multiple of 32 for which the sums of products with int8
    /// fit 16 bits: 256 · 127 = 32512.
    /// </summary>
    public const int PanelColumns = 256;

    /// <param name="count">N.</param>
    /// <param name="outFeatures">Rows.</param>
    /// <param name="inFeatures">Columns.</param>
    /// <param name="groupSize">Columns of a group.</param>
    /// <param name="bias">There is a bias plane.</param>
    public TileLayout(int count, int outFeatures, int inFeatures, int groupSize, bool bias)
    {
        (Count, OutFeatures, InFeatures, HasBias) = (count, outFeatures, inFeatures, bias);
        Tiles = (outFeatures - 1) / TileRows + 1;
        var segments = new List<ColumnSegment>();
        var words = 0;
        for (var group = 0; (long)group * groupSize < inFeatures; group++)
        {
            var last = (int)Math.Min((group + 1L) * groupSize, inFeatures);
            for (var first = group * groupSize; first < last; first += PanelColumns)
            {
                segments.Add(new ColumnSegment(first, Math.Min(PanelColumns, last - first), group, words));
                words += segments[^1].Words;
            }
        }
        (Segments, Words, Panels) = ([.. segments], words, Cut(segments));
    }

    /// <summary>N.</summary>
    public int Count { get; }

    /// <summary>Rows.</summary>
    public int OutFeatures { get; }

    /// <summary>Columns.</summary>
    public int InFeatures { get; }

    /// <summary>There is a bias plane.</summary>
    public bool HasBias { get; }

    /// <summary>Tiles of 16 rows; rows of the last tile that do not exist have scales of 0.</summary>
    public int Tiles { get; }

    /// <summary>Rows with those that do not exist.</summary>
    public int PaddedRows => Tiles * TileRows;

    /// <summary>Words of 32 columns over all segments.</summary>
    public int Words { get; }

    /// <summary>All segments, by column.</summary>
    public ColumnSegment[] Segments { get; }

    /// <summary>All panels, by column.</summary>
    public ColumnPanel[] Panels { get; }

    /// <summary>Rows of 16 scales that a segment has in a tile.</summary>
    public int ScaleRows => Count + (HasBias ? 1 : 0);

    /// <summary>Words of signs, 32 columns each, in the whole packed weight.</summary>
    public long SignWords => (long)Words * Count * PaddedRows;

    /// <summary>Scales in the whole packed weight.</summary>
    public long Scales => (long)Segments.Length * ScaleRows * PaddedRows;

    /// <summary>Index of the first word of signs of a tile in a panel.</summary>
    public long SignsAt(in ColumnPanel panel, int tile) => ((long)panel.FirstWord * Tiles + (long)tile * panel.Words) * Count * TileRows;

    /// <summary>Index of the first scale of a tile in a panel.</summary>
    public long ScalesAt(in ColumnPanel panel, int tile) =>
        ((long)panel.FirstSegment * Tiles + (long)tile * panel.Segments) * ScaleRows * TileRows;

    private static ColumnPanel[] Cut(List<ColumnSegment> segments)
    {
        var panels = new List<ColumnPanel>();
        for (var index = 0; index < segments.Count; index++)
        {
            var segment = segments[index];
            if (panels.Count > 0 && panels[^1].Words + segment.Words <= PanelColumns / WordColumns)
                panels[^1] = panels[^1] with { Segments = panels[^1].Segments + 1, Words = panels[^1].Words + segment.Words };
            else
                panels.Add(new ColumnPanel(index, 1, segment.FirstWord, segment.Words));
        }
        return [.. panels];
    }
}
