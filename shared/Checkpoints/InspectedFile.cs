namespace Qbb.Checkpoints;

/// <summary>A file of a checkpoint.</summary>
public sealed record InspectedFile(string Name, long Bytes);
