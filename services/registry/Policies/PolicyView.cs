using Qbb.Registry.Models;

namespace Qbb.Registry.Policies;

/// <summary>A policy.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Models">Names of models; * stands for any characters, ? for one.</param>
/// <param name="Recipes">What runs on every upload.</param>
/// <param name="Gate">What decides on the champion of those models.</param>
public sealed record PolicyView(string Name, string Models, IReadOnlyList<NamedRecipe> Recipes, Gate? Gate);
