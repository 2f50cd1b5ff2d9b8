namespace Qbb.Quantizer.Artifacts;

/// <summary>Which layers a unit is of: without calibration <paramref name="Size"/> layers from Index·Size on, with it those of block Index.</summary>
/// <param name="Index">From 0.</param>
/// <param name="Size">Layers of a unit; null for the first, which takes as many as there is time for.</param>
public sealed record UnitRange(int Index, int? Size);
