using System.Text.Json.Nodes;

namespace Qbb.Registry.Policies;

/// <summary>A recipe and what people call it.</summary>
public sealed record NamedRecipe(string Name, JsonNode Recipe);
