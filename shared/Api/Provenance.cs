using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using Qbb.Contracts;

namespace Qbb.Api;

/// <summary>How a version was created, as an in-toto statement whose predicate is SLSA provenance.</summary>
/// <param name="Type">Of the statement: <see cref="StatementType"/>.</param>
/// <param name="Subject">The version's files.</param>
/// <param name="PredicateType">Of the predicate: <see cref="SlsaType"/>.</param>
/// <param name="Predicate">How they were created.</param>
/// <example>{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"model.safetensors","digest":{"sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},"annotations":null}],"predicateType":"https://slsa.dev/provenance/v1","predicate":{"buildDefinition":{"buildType":"urn:qbb:quantization:1","externalParameters":{"model":"tiny","recipe":{"decomposition":{"bases":3}},"recipeName":"qbb-3"},"internalParameters":{"version":2,"manifest":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},"resolvedDependencies":[{"name":"tiny/1","digest":{"sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},"annotations":null}]},"runDetails":{"builder":{"id":"urn:qbb:registry","version":{"qbb":"0.1.0"}},"metadata":{"invocationId":"01a2190b-4bed-754b-a4a6-5b09073c2fe1","startedOn":"2026-11-29T12:00:00+00:00","finishedOn":"2026-11-29T12:30:00+00:00"},"byproducts":[]}}}</example>
public sealed record ProvenanceStatement(
    [property: JsonPropertyName("_type")] string Type, IReadOnlyList<ProvenanceResource> Subject, string PredicateType, ProvenancePredicate Predicate)
{
    public const string StatementType = "https://in-toto.io/Statement/v1";
    public const string SlsaType = "https://slsa.dev/provenance/v1";

    /// <summary>The buildType of a version that a pipeline created, and of one that was uploaded.</summary>
    public const string Quantization = "urn:qbb:quantization:1";
    public const string Upload = "urn:qbb:upload:1";

    /// <summary>The algorithm of every digest.</summary>
    public const string Algorithm = "sha256";
}

/// <summary>What a version was created from, by what, and when.</summary>
/// <param name="BuildDefinition">What it was created from.</param>
/// <param name="RunDetails">By what, and when.</param>
/// <example>{"buildDefinition":{"buildType":"urn:qbb:quantization:1","externalParameters":{"model":"tiny","recipe":{"decomposition":{"bases":3}},"recipeName":"qbb-3"},"internalParameters":{"version":2,"manifest":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},"resolvedDependencies":[{"name":"tiny/1","digest":{"sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},"annotations":null}]},"runDetails":{"builder":{"id":"urn:qbb:registry","version":{"qbb":"0.1.0"}},"metadata":{"invocationId":"01a2190b-4bed-754b-a4a6-5b09073c2fe1","startedOn":"2026-11-29T12:00:00+00:00","finishedOn":"2026-11-29T12:30:00+00:00"},"byproducts":[]}}</example>
public sealed record ProvenancePredicate(ProvenanceBuild BuildDefinition, ProvenanceRun RunDetails);

/// <summary>What a version was created from.</summary>
/// <param name="BuildType"><see cref="ProvenanceStatement.Quantization"/> or <see cref="ProvenanceStatement.Upload"/>.</param>
/// <param name="ExternalParameters">What was requested: the recipe.</param>
/// <param name="InternalParameters">The version's own identity.</param>
/// <param name="ResolvedDependencies">The base model and the data, by their manifests.</param>
/// <example>{"buildType":"urn:qbb:quantization:1","externalParameters":{"model":"tiny","recipe":{"decomposition":{"bases":3}},"recipeName":"qbb-3"},"internalParameters":{"version":2,"manifest":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},"resolvedDependencies":[{"name":"tiny/1","digest":{"sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},"annotations":null}]}</example>
public sealed record ProvenanceBuild(
    string BuildType, ProvenanceRequest ExternalParameters, ProvenanceIdentity InternalParameters, IReadOnlyList<ProvenanceResource> ResolvedDependencies);

/// <summary>What was requested.</summary>
/// <param name="Model">The model that it is a version of.</param>
/// <param name="Recipe">The recipe; null of an upload.</param>
/// <param name="RecipeName">What people call it.</param>
/// <example>{"model":"tiny","recipe":{"decomposition":{"bases":3}},"recipeName":"qbb-3"}</example>
public sealed record ProvenanceRequest(string Model, JsonNode? Recipe = null, string? RecipeName = null);

/// <summary>The version itself.</summary>
/// <param name="Version">The version's number.</param>
/// <param name="Manifest">Its manifest.</param>
/// <example>{"version":2,"manifest":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}</example>
public sealed record ProvenanceIdentity(int Version, Digest Manifest);

/// <summary>What created a version.</summary>
/// <param name="Builder">The program.</param>
/// <param name="Metadata">The pipeline.</param>
/// <param name="Byproducts">The units of work and their results, in their order.</param>
/// <example>{"builder":{"id":"urn:qbb:registry","version":{"qbb":"0.1.0"}},"metadata":{"invocationId":"01a2190b-4bed-754b-a4a6-5b09073c2fe1","startedOn":"2026-11-29T12:00:00+00:00","finishedOn":"2026-11-29T12:30:00+00:00"},"byproducts":[{"name":"decompose/0","digest":{"sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},"annotations":{"kind":"decompose","index":0,"unit":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","command":{"kind":"decompose","index":0},"size":2,"environment":"cpu-avx512/2","report":{"layers":14}}}]}</example>
public sealed record ProvenanceRun(ProvenanceBuilder Builder, ProvenanceInvocation Metadata, IReadOnlyList<ProvenanceResource> Byproducts);

/// <summary>The program that created a version.</summary>
/// <param name="Id">Who vouches for the statement.</param>
/// <param name="Version">Versions of its parts.</param>
/// <example>{"id":"urn:qbb:registry","version":{"qbb":"0.1.0"}}</example>
public sealed record ProvenanceBuilder(string Id, IReadOnlyDictionary<string, string> Version);

/// <summary>The pipeline that created a version.</summary>
/// <param name="InvocationId">The pipeline.</param>
/// <param name="StartedOn">When its first unit was sent.</param>
/// <param name="FinishedOn">When the version was created.</param>
/// <example>{"invocationId":"01a2190b-4bed-754b-a4a6-5b09073c2fe1","startedOn":"2026-11-29T12:00:00+00:00","finishedOn":"2026-11-29T12:30:00+00:00"}</example>
public sealed record ProvenanceInvocation(string? InvocationId = null, DateTimeOffset? StartedOn = null, DateTimeOffset? FinishedOn = null);

/// <summary>Something with a digest.</summary>
/// <param name="Name">A file, a version such as tiny/1, or a unit such as decompose/0.</param>
/// <param name="Digest">By algorithm.</param>
/// <param name="Annotations">Of a unit: how its result can be calculated again.</param>
/// <example>{"name":"decompose/0","digest":{"sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},"annotations":{"kind":"decompose","index":0,"unit":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","command":{"kind":"decompose","index":0},"size":2,"environment":"cpu-avx512/2","report":{"layers":14}}}</example>
public sealed record ProvenanceResource(string Name, IReadOnlyDictionary<string, string> Digest, ProvenanceUnit? Annotations = null)
{
    public static ProvenanceResource Of(string name, string digest, ProvenanceUnit? unit = null) =>
        new(name, new Dictionary<string, string> { [ProvenanceStatement.Algorithm] = digest }, unit);
}

/// <summary>A unit of work: its inputs are the digests in its command, its output is the digest that it annotates.</summary>
/// <param name="Kind">Such as decompose.</param>
/// <param name="Index">From 0 within its kind.</param>
/// <param name="Unit">Its key: the digest of everything that its result depends on.</param>
/// <param name="Command">What was calculated; null of a unit from before commands were kept.</param>
/// <param name="Size">What it held, where that was measured: layers, windows or sequences.</param>
/// <param name="Environment">What calculated it: instructions or GPU, and threads.</param>
/// <param name="Report">What it measured.</param>
/// <example>{"kind":"decompose","index":0,"unit":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","command":{"kind":"decompose","index":0},"size":2,"environment":"cpu-avx512/2","report":{"layers":14}}</example>
public sealed record ProvenanceUnit(
    string Kind, int Index, Digest Unit, JsonObject? Command = null, int? Size = null, string? Environment = null, JsonObject? Report = null);
