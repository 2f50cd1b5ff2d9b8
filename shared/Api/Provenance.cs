using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using Qbb.Contracts;

namespace Qbb.Api;

/// <summary>How a version was created, as an in-toto statement whose predicate is SLSA provenance.</summary>
/// <param name="Type">Of the statement: <see cref="StatementType"/>.</param>
/// <param name="Subject">The version's files.</param>
/// <param name="PredicateType">Of the predicate: <see cref="SlsaType"/>.</param>
/// <param name="Predicate">How they were created.</param>
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

/// <param name="BuildDefinition">What it was created from.</param>
/// <param name="RunDetails">By what, and when.</param>
public sealed record ProvenancePredicate(ProvenanceBuild BuildDefinition, ProvenanceRun RunDetails);

/// <param name="BuildType"><see cref="ProvenanceStatement.Quantization"/> or <see cref="ProvenanceStatement.Upload"/>.</param>
/// <param name="ExternalParameters">What was requested: the recipe.</param>
/// <param name="InternalParameters">The version's own identity.</param>
/// <param name="ResolvedDependencies">The base model and the data, by their manifests.</param>
public sealed record ProvenanceBuild(
    string BuildType, ProvenanceRequest ExternalParameters, ProvenanceIdentity InternalParameters, IReadOnlyList<ProvenanceResource> ResolvedDependencies);

/// <param name="Model">The model that it is a version of.</param>
/// <param name="Recipe">The recipe; null of an upload.</param>
/// <param name="RecipeName">What people call it.</param>
public sealed record ProvenanceRequest(string Model, JsonNode? Recipe = null, string? RecipeName = null);

/// <param name="Version">The version's number.</param>
/// <param name="Manifest">Its manifest.</param>
public sealed record ProvenanceIdentity(int Version, Digest Manifest);

/// <param name="Builder">The program.</param>
/// <param name="Metadata">The pipeline.</param>
/// <param name="Byproducts">The units of work and their results, in their order.</param>
public sealed record ProvenanceRun(ProvenanceBuilder Builder, ProvenanceInvocation Metadata, IReadOnlyList<ProvenanceResource> Byproducts);

/// <param name="Id">Who vouches for the statement.</param>
/// <param name="Version">Versions of its parts.</param>
public sealed record ProvenanceBuilder(string Id, IReadOnlyDictionary<string, string> Version);

/// <param name="InvocationId">The pipeline.</param>
/// <param name="StartedOn">When its first unit was sent.</param>
/// <param name="FinishedOn">When the version was created.</param>
public sealed record ProvenanceInvocation(string? InvocationId = null, DateTimeOffset? StartedOn = null, DateTimeOffset? FinishedOn = null);

/// <summary>Something with a digest.</summary>
/// <param name="Name">A file, a version such as tiny/1, or a unit such as decompose/0.</param>
/// <param name="Digest">By algorithm.</param>
/// <param name="Annotations">Of a unit: how its result can be calculated again.</param>
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
public sealed record ProvenanceUnit(
    string Kind, int Index, Digest Unit, JsonObject? Command = null, int? Size = null, string? Environment = null, JsonObject? Report = null);
