using System.Text.Json;
using Qbb.Contracts;

namespace Qbb.Api;

/// <summary>Where a version comes from: an upload, or a pipeline (or another program that quantized it).</summary>
public enum VersionKind
{
    Upload,

    /// <summary>Of a pipeline, or uploaded with a quantization_config: policies start nothing on it.</summary>
    Quantized,
}

/// <summary>A version by model and number.</summary>
/// <param name="Model">The model's name.</param>
/// <param name="Version">The version's number.</param>
/// <example>{"model":"tiny","version":2}</example>
public sealed record VersionName(string Model, int Version);

/// <summary>The figures that the pipeline files with a version; people may add others.</summary>
public static class MetricNames
{
    public const string Perplexity = "perplexity";
    public const string TeacherPerplexity = "teacherPerplexity";

    /// <summary>Mean KL(teacher ‖ version) per position in nats.</summary>
    public const string Kl = "kl";

    /// <summary>Share of positions where version and teacher have the same most likely token.</summary>
    public const string Top1 = "top1";

    /// <summary>Stored bits of the quantized layers for each of their weights.</summary>
    public const string BitsPerWeight = "bitsPerWeight";

    /// <summary>Bits of the whole model's files for each of its parameters.</summary>
    public const string BitsPerParameter = "bitsPerParameter";

    /// <summary>Bytes of all files that running the model needs.</summary>
    public const string Bytes = "bytes";

    /// <summary>‖W − Ŵ‖²/‖W‖² before distillation.</summary>
    public const string RelativeError = "relativeError";

    /// <summary>KL on held-out sequences before and after distillation.</summary>
    public const string HeldOutKlBefore = "heldOutKlBefore";
    public const string HeldOutKlAfter = "heldOutKlAfter";

    /// <summary>The metrics that pipelines file.</summary>
    public static IReadOnlyList<string> All { get; } =
        [Perplexity, TeacherPerplexity, Kl, Top1, BitsPerWeight, Bytes, RelativeError, HeldOutKlBefore, HeldOutKlAfter];
}

/// <summary>A version.</summary>
/// <param name="Model">The model's name.</param>
/// <param name="Version">Its number.</param>
/// <param name="Manifest">Its identity: the digest of its manifest.</param>
/// <param name="Kind">Where it comes from.</param>
/// <param name="Bytes">Of all files.</param>
/// <param name="CreatedAt">When it was created.</param>
/// <param name="Aliases">Names that point to it.</param>
/// <param name="Tags">What people noted.</param>
/// <param name="Metrics">By name.</param>
/// <param name="Lineage">How it came about; null of an upload.</param>
/// <param name="Files">By name; null in lists.</param>
/// <example>
/// {"model":"tiny","version":2,"manifest":"aa3c1f0e52b7d8c96f4e1b0a7d3c5e9f2b4d6a8c0e1f3b5d7a9c2e4f6b8d0a1c","kind":"quantized",
/// "bytes":79600000,"createdAt":"2026-11-29T12:30:00+00:00","aliases":["champion"],"tags":{"team":"red"},"metrics":{"perplexity":12.4,
/// "teacherPerplexity":11.9,"kl":0.081,"bitsPerWeight":3.25},"lineage":{"parent":{"model":"tiny","version":1},
/// "pipeline":"01a2190b-4bed-754b-a4a6-5b09073c2fe1","recipe":"5feceb66ffc86f38d952786c6d696c79c2dbc239dd4ac7b3b0f3e6b1e7c1d7a1",
/// "recipeName":"three-bases","choices":{"decomposition":{"bases":3,"group":128}},
/// "data":{"kept":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},"toolVersion":"0.1.0","commit":"df10e25","note":null},
/// "files":[{"name":"config.json","digest":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","size":2103}]}
/// </example>
public sealed record VersionView(
    string Model, int Version, string Manifest, VersionKind Kind, long Bytes, DateTimeOffset CreatedAt, IReadOnlyList<string> Aliases,
    IReadOnlyDictionary<string, string> Tags, IReadOnlyDictionary<string, double> Metrics, LineageView? Lineage, IReadOnlyList<FileEntry>? Files);

/// <summary>How a version came about.</summary>
/// <param name="Parent">The version that it was created from.</param>
/// <param name="Pipeline">The pipeline that created it.</param>
/// <param name="Recipe">Digest of the recipe.</param>
/// <param name="RecipeName">What people call it.</param>
/// <param name="Choices">The recipe.</param>
/// <param name="Data">Manifests of the sampled data, of those kept, and of those that it was scored on.</param>
/// <param name="ToolVersion">Version of the program.</param>
/// <param name="Commit">The commit that it was built from.</param>
/// <param name="Note">What to know of how it was created, such as that its distillation was of no use.</param>
/// <example>
/// {"parent":{"model":"tiny","version":1},"pipeline":"01a2190b-4bed-754b-a4a6-5b09073c2fe1",
/// "recipe":"5feceb66ffc86f38d952786c6d696c79c2dbc239dd4ac7b3b0f3e6b1e7c1d7a1","recipeName":"three-bases",
/// "choices":{"decomposition":{"bases":3,"group":128}},"data":{"kept":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
/// "toolVersion":"0.1.0","commit":"df10e25","note":null}
/// </example>
public sealed record LineageView(
    VersionName Parent, Guid? Pipeline, string Recipe, string? RecipeName, JsonElement Choices, IReadOnlyDictionary<string, string> Data,
    string ToolVersion, string? Commit, string? Note = null);

/// <summary>A version's family.</summary>
/// <param name="Version">The version.</param>
/// <param name="From">What it was created from and how; null of an upload.</param>
/// <param name="Children">What was created from it.</param>
/// <example>
/// {"version":{"model":"tiny","version":2},"from":{"parent":{"model":"tiny","version":1},"pipeline":"01a2190b-4bed-754b-a4a6-5b09073c2fe1",
/// "recipe":"5feceb66ffc86f38d952786c6d696c79c2dbc239dd4ac7b3b0f3e6b1e7c1d7a1","recipeName":"three-bases",
/// "choices":{"decomposition":{"bases":3,"group":128}},"data":{"kept":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
/// "toolVersion":"0.1.0","commit":"df10e25","note":null},"children":[]}
/// </example>
public sealed record LineageAnswer(VersionName Version, LineageView? From, IReadOnlyList<VersionName> Children);

/// <summary>A tag's value.</summary>
/// <param name="Value">At most 256 characters, without control characters.</param>
/// <example>{"value":"red"}</example>
public sealed record TagValue(string Value);

/// <summary>What is searched for; all conditions must hold.</summary>
/// <param name="Q">In the model's name or description.</param>
/// <param name="Kind">Where the version comes from.</param>
/// <param name="Recipe">Digest or name of the recipe that it was created by.</param>
/// <param name="Alias">An alias that points to it.</param>
/// <param name="Tag">key, or key:value.</param>
/// <param name="Metric">A condition such as kl&lt;=0.1.</param>
/// <param name="Sort">created or a metric, with - before it for the largest first.</param>
/// <param name="After">Of the page before.</param>
/// <param name="Limit">Most of a page.</param>
public sealed record SearchQuery(
    string? Q = null, VersionKind? Kind = null, string? Recipe = null, string? Alias = null, string[]? Tag = null, string[]? Metric = null,
    string? Sort = null, string? After = null, int? Limit = null);

/// <summary>A file of a version.</summary>
/// <param name="Name">Relative, with forward slashes.</param>
/// <param name="Digest">SHA-256 of its bytes.</param>
/// <param name="Size">Bytes.</param>
/// <example>{"name":"config.json","digest":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","size":2103}</example>
public sealed record FileEntry(string Name, Digest Digest, long Size);

/// <summary>Files that are in the store already, to become a version.</summary>
/// <param name="Files">Of a Hugging Face folder, or one GGUF file.</param>
/// <param name="Tags">Tags of the version.</param>
/// <param name="Quantize">False: no policy is applied.</param>
/// <example>
/// {"files":[{"name":"config.json","digest":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","size":2103}],
/// "tags":{"team":"red"},"quantize":true}
/// </example>
public sealed record VersionRequest(IReadOnlyList<FileEntry> Files, IReadOnlyDictionary<string, string>? Tags = null, bool Quantize = true);

/// <summary>A version of a registered model in MLflow, to become a version here.</summary>
/// <param name="Name">The registered model.</param>
/// <param name="Version">A number, or an alias.</param>
/// <param name="Model">The model's name here; null for the same.</param>
/// <param name="Quantize">False: no policy is applied.</param>
/// <example>{"name":"llama","version":"3","model":"llama","quantize":true}</example>
public sealed record MlflowImportRequest(string Name, string Version, string? Model = null, bool Quantize = true);

/// <summary>The result of an upload.</summary>
/// <param name="Model">The model.</param>
/// <param name="Version">The version's number.</param>
/// <param name="Manifest">Its identity.</param>
/// <param name="Pipelines">Those that policies started.</param>
/// <param name="Note">Why none was started, where that is not for lack of a policy.</param>
/// <example>
/// {"model":"tiny","version":1,"manifest":"aa3c1f0e52b7d8c96f4e1b0a7d3c5e9f2b4d6a8c0e1f3b5d7a9c2e4f6b8d0a1c",
/// "pipelines":["01a2190b-4bed-754b-a4a6-5b09073c2fe1"],"note":null}
/// </example>
public sealed record UploadedVersion(string Model, int Version, string Manifest, IReadOnlyList<Guid> Pipelines, string? Note = null);
