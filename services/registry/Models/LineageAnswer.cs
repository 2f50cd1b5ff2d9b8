namespace Qbb.Registry.Models;

/// <summary>A version's family.</summary>
/// <param name="Version">The version.</param>
/// <param name="From">What it was made from and how; null of an upload.</param>
/// <param name="Children">What was made from it.</param>
public sealed record LineageAnswer(VersionName Version, LineageView? From, IReadOnlyList<VersionName> Children);
