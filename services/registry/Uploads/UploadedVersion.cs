namespace Qbb.Registry.Uploads;

/// <summary>What became of an upload.</summary>
/// <param name="Model">The model.</param>
/// <param name="Version">The version's number.</param>
/// <param name="Manifest">Its identity.</param>
/// <param name="Pipelines">Those that policies started.</param>
public sealed record UploadedVersion(string Model, int Version, string Manifest, IReadOnlyList<Guid> Pipelines);
