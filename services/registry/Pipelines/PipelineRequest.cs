using System.Text.Json.Nodes;

namespace Qbb.Registry.Pipelines;

/// <summary>A quantization that is asked for.</summary>
/// <param name="Model">The model's name.</param>
/// <param name="Version">The version's number; null for the newest upload.</param>
/// <param name="Recipe">The recipe.</param>
/// <param name="Name">What people call the recipe.</param>
public sealed record PipelineRequest(string? Model, int? Version, JsonNode? Recipe, string? Name);
