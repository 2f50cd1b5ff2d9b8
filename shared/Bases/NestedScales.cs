namespace Qbb.Bases;

/// <summary>Scales of the first n planes of a nested weight.</summary>
/// <param name="Alpha">[n, out, groups]</param>
/// <param name="Beta">[out, groups], or null.</param>
public sealed record NestedScales(Half[] Alpha, Half[]? Beta);
