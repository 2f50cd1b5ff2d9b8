namespace Qbb.Registry.Models;

/// <summary>Where an alias points.</summary>
public sealed record AliasView(string Alias, int Version, DateTimeOffset UpdatedAt);
