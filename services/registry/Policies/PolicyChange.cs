using Qbb.Registry.Models;

namespace Qbb.Registry.Policies;

/// <summary>What a policy is to say.</summary>
public sealed record PolicyChange(string? Models, IReadOnlyList<NamedRecipe>? Recipes, Gate? Gate);
