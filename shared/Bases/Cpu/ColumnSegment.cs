namespace Qbb.Bases.Cpu;

/// <summary>Columns that share their scales and fit a panel: a group, or a piece of one that is longer than a panel.</summary>
/// <param name="FirstColumn">First column of the weight.</param>
/// <param name="Columns">Columns, 1 to <see cref="TileLayout.PanelColumns"/>.</param>
/// <param name="Group">Group whose scales hold.</param>
/// <param name="FirstWord">Words of 32 columns before this segment; each segment begins a new word.</param>
internal readonly record struct ColumnSegment(int FirstColumn, int Columns, int Group, int FirstWord)
{
    /// <summary>Words of 32 columns; the last may hold columns that do not exist, at which every input counts as 0.</summary>
    public int Words => (Columns + TileLayout.WordColumns - 1) / TileLayout.WordColumns;
}
