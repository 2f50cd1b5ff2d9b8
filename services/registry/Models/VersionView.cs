using Qbb.Registry.Uploads;

namespace Qbb.Registry.Models;

/// <summary>A version.</summary>
/// <param name="Model">The model's name.</param>
/// <param name="Version">Its number.</param>
/// <param name="Manifest">Its identity: the digest of its manifest.</param>
/// <param name="Kind">Where it comes from.</param>
/// <param name="Bytes">Of all files.</param>
/// <param name="CreatedAt">When it was made.</param>
/// <param name="Aliases">Names that point to it.</param>
/// <param name="Tags">What people noted.</param>
/// <param name="Metrics">Figures.</param>
/// <param name="Lineage">How it came about; null of an upload.</param>
/// <param name="Files">By name; null in lists.</param>
public sealed record VersionView(
    string Model, int Version, string Manifest, VersionKind Kind, long Bytes, DateTimeOffset CreatedAt, IReadOnlyList<string> Aliases,
    IReadOnlyDictionary<string, string> Tags, IReadOnlyDictionary<string, double> Metrics, LineageView? Lineage, IReadOnlyList<FileEntry>? Files);
