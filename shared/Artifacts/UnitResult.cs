using System.Text.Json.Nodes;
using Qbb.Contracts;

namespace Qbb.Artifacts;

/// <summary>What a finished unit of work left.</summary>
/// <param name="Manifest">Manifest of its files.</param>
/// <param name="Event">The event that told of it, as JSON without the pipeline, so that it can be told again.</param>
public sealed record UnitResult(Digest Manifest, JsonObject Event);
