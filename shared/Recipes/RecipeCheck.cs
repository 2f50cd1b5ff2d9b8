using System.Text.Json;
using System.Text.Json.Nodes;

namespace Qbb.Recipes;

/// <summary>Looks at a pipeline's recipe as the workers will, before any of them is asked.</summary>
public static class RecipeCheck
{
    /// <summary>Everything that is wrong, as far as that can be told without the model; nothing where the recipe can be used.</summary>
    public static IReadOnlyList<string> Problems(string json)
    {
        try
        {
            return JsonNode.Parse(json) is JsonObject recipe ? [.. PipelineRecipe.Problems(recipe), .. InParts(recipe)] : ["the recipe is not a JSON object"];
        }
        catch (Exception error) when (error is JsonException or ArgumentException or InvalidOperationException)
        {
            return [$"the recipe is not a JSON object: {error.Message}"];
        }
    }

    private static List<string> InParts(JsonObject recipe)
    {
        var problems = new List<string>();
        var name = recipe["preset"] is JsonValue named && named.TryGetValue<string>(out var text) ? text : null;
        var preset = name is null ? null : Presets.Find(name);
        if (name is not null && preset is null)
            problems.Add($"preset {name} is unknown: give {string.Join(", ", Presets.Names)}");
        if (recipe["decomposition"] is JsonObject decomposition)
            CheckDecomposition(decomposition, preset, problems);
        if (recipe["distillation"]?["signRate"] is not null && Target.All.FirstOrDefault(known => known.Name == recipe["decomposition"]?["target"]?.ToString()) is { LeastLevel: > 0 } target)
            problems.Add(Recipe.SignsOf(target));
        if (recipe["sampling"] is JsonObject sampling)
            Add("sampling", PartJson.Read<SamplingOptions>(sampling, "sampling", problems).Problems());
        if (recipe["filter"] is JsonObject filter)
            Add("filter", PartJson.Read<FilterOptions>(filter, "filter", problems).Problems());
        if (recipe["distillation"] is JsonObject distillation)
            Add("distillation", DistillationRecipeJson.Read(JsonSerializer.SerializeToElement(distillation), problems).Problems());
        if (recipe["evaluation"] is JsonObject evaluation)
        {
            Add("evaluation", PartJson.Read<EvaluationPart>(WithoutText(evaluation), "evaluation", problems).Problems());
            if (evaluation["sampling"] is JsonObject windows)
                Add("evaluation.sampling", PartJson.Read<SamplingOptions>(windows, "evaluation.sampling", problems).Problems());
        }
        return problems;

        void Add(string part, IEnumerable<string> wrong) => problems.AddRange(wrong.Select(problem => $"{part}: {problem}"));
    }

    private static void CheckDecomposition(JsonObject decomposition, Preset? preset, List<string> problems)
    {
        var own = (JsonObject)decomposition.DeepClone();
        // That it stands in the wrong place is told already.
        own.Remove("distillation");
        var wrong = new List<string>();
        var recipe = RecipeJson.Read(own.ToJsonString(), wrong);
        wrong.AddRange(recipe.Problems());
        if (recipe is { Bits: not null, BasesPerLayer: null })
            wrong.Add("bits is given without basesPerLayer: a budget is spent by qbb quantize --bits, which writes the recipe that a pipeline can run");
        if (preset > Preset.Weights && !recipe.TakesCalibration)
            wrong.Add($"its init or refinement takes no calibration, which preset {preset.Value.NameOf()} needs: use preset {Preset.Weights.NameOf()}");
        if (preset == Preset.Weights && recipe.Init.NeedsInputs())
            wrong.Add($"init {recipe.Init.ToName()} needs data, which preset {Preset.Weights.NameOf()} has none of: use another preset");
        problems.AddRange(wrong.Select(problem => $"decomposition: {problem}"));
    }

    // That the text is no digest is told already.
    private static JsonObject WithoutText(JsonObject evaluation)
    {
        var other = (JsonObject)evaluation.DeepClone();
        other.Remove("text");
        return other;
    }
}

/// <summary>The parts of a recipe that quantize a model.</summary>
/// <param name="Recipe">Decomposition, and distillation where there is one.</param>
/// <param name="Sampling">What is sampled; null where nothing needs data.</param>
/// <param name="Filter">What of it is distilled on; null without distillation.</param>
/// <param name="Type">To sample, score and train in; null where the recipe names none.</param>
public sealed record QuantizationRecipe(Recipe Recipe, SamplingOptions? Sampling, FilterOptions? Filter, Precision? Type = null)
{
    /// <summary>What chooses the rest by the model and the machine; null where the recipe does.</summary>
    public Preset? Preset { get; init; }

    /// <summary>Reads a recipe of any origin: a recipe.json, a policy's, a file for qbb push. What is evaluated does not matter here.</summary>
    /// <param name="json">The recipe.</param>
    /// <param name="usual">The type for what names none.</param>
    /// <exception cref="InvalidInputException">It cannot be used; the message lists everything that is wrong.</exception>
    public static QuantizationRecipe Parse(string json, Precision? usual = null)
    {
        var problems = RecipeCheck.Problems(json);
        if (problems.Count > 0)
            throw new InvalidInputException("the recipe cannot be used: " + string.Join("; ", problems));
        var parts = PipelineRecipe.Parse(json);
        if (usual is { } type)
            parts = parts.WithType(type);
        var recipe = Recipe.FromPart(parts.Decomposition.ToJsonString());
        if (parts.Distillation is { } distillation)
            recipe = (recipe with { Distillation = DistillationRecipe.FromJson(distillation.ToJsonString()) }).Resolve();
        return new(
            recipe, parts.Sampling is { } sampling ? SamplingOptions.FromJson(sampling) : null,
            parts.Filter is { } filter ? FilterOptions.FromJson(filter.ToJsonString()) : null, parts.NamedType)
        {
            Preset = parts.Preset is { } preset ? Presets.Find(preset) : null,
        };
    }
}
