using Qbb.Registry.Pipelines.Running;

namespace Qbb.Registry.Policies;

/// <summary>Section <c>Registry:DefaultPolicy</c> of the configuration.</summary>
public sealed class DefaultPolicy
{
    public string Name { get; set; } = "default";

    /// <summary>Names of models.</summary>
    public string Models { get; set; } = "*";

    /// <summary>Recipes by name, as JSON.</summary>
    public Dictionary<string, string> Recipes { get; set; } = [];

    public Gate? Gate { get; set; }

    internal IEnumerable<string> Problems()
    {
        if (ModelName.ProblemOf(Name) is { } problem)
            yield return problem;
        if (Recipes.Count == 0)
            yield return "it has no recipes";
        foreach (var (name, json) in Recipes)
        {
            foreach (var wrong in RecipeIntake.Problems(json))
                yield return $"{name}: {wrong}";
        }
        foreach (var wrong in Gate?.Problems() ?? [])
            yield return wrong;
    }
}
