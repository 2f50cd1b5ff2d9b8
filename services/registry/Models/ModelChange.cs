namespace Qbb.Registry.Models;

/// <summary>What to change of a model.</summary>
public sealed record ModelChange(string? Description);
