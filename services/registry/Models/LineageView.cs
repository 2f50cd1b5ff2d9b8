using System.Text.Json;

namespace Qbb.Registry.Models;

/// <summary>How a version came about.</summary>
/// <param name="Parent">What it was made from.</param>
/// <param name="Pipeline">What made it.</param>
/// <param name="Recipe">Digest of the recipe.</param>
/// <param name="RecipeName">What people call it.</param>
/// <param name="Choices">The recipe.</param>
/// <param name="Data">Manifests of the sampled data, of those kept, and of those that it was scored on.</param>
/// <param name="ToolVersion">Version of the program.</param>
/// <param name="Commit">The commit that it was built from.</param>
public sealed record LineageView(
    VersionName Parent, Guid? Pipeline, string Recipe, string? RecipeName, JsonElement Choices, IReadOnlyDictionary<string, string> Data,
    string ToolVersion, string? Commit);
