namespace Qbb.Registry.Models;

/// <summary>A version by model and number.</summary>
public sealed record VersionName(string Model, int Version);
