namespace Qbb.Registry.Uploads;

/// <summary>Files that are in the store already, to become a version.</summary>
/// <param name="Files">Of a Hugging Face folder, or one GGUF file.</param>
/// <param name="Tags">Tags of the version.</param>
/// <param name="Quantize">False: no policy is applied.</param>
public sealed record VersionRequest(IReadOnlyList<FileEntry> Files, IReadOnlyDictionary<string, string>? Tags = null, bool Quantize = true);
