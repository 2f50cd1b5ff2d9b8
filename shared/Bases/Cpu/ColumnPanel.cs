namespace Qbb.Bases.Cpu;

/// <summary>Neighbouring segments whose lookup tables stay in the first-level cache while all rows pass by.</summary>
/// <param name="FirstSegment">First segment.</param>
/// <param name="Segments">Segments.</param>
/// <param name="FirstWord">Words of 32 columns before this panel.</param>
/// <param name="Words">Words of 32 columns in this panel.</param>
internal readonly record struct ColumnPanel(int FirstSegment, int Segments, int FirstWord, int Words);
