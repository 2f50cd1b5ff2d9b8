namespace Qbb.Registry.Models;

/// <summary>The version that an alias is to point to.</summary>
public sealed record AliasChange(int Version);
