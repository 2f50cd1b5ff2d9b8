using System.Text.Json;

namespace Qbb.Recipes;

/// <summary>A distillation's choices as the member "distillation" of a recipe: sorted members, those that do not apply left out.</summary>
internal static class DistillationRecipeJson
{
    public static void Write(Utf8JsonWriter writer, DistillationRecipe recipe)
    {
        writer.WriteStartObject("distillation");
        writer.WriteNumber("accumulate", recipe.Accumulate);
        writer.WriteNumber("batch", recipe.Batch);
        writer.WriteNumber("clip", recipe.Clip);
        writer.WriteNumber("evaluateEvery", recipe.EvaluateEvery);
        writer.WriteNumber("featureWeight", recipe.FeatureWeight);
        writer.WriteNumber("heldOut", recipe.HeldOut);
        writer.WriteNumber("learningRate", recipe.LearningRate);
        writer.WriteString("loss", DistillationLossNames.Of(recipe.Loss));
        if (recipe.Patience is { } patience)
            writer.WriteNumber("patience", patience);
        writer.WriteNumber("seed", recipe.Seed);
        if (recipe.SignRate is { } signs)
            writer.WriteNumber("signRate", signs);
        writer.WriteNumber("steps", recipe.Steps);
        if (recipe.SwapEnd is { } end)
            writer.WriteNumber("swapEnd", end);
        if (recipe.Temperature is { } temperature)
            writer.WriteNumber("temperature", temperature);
        writer.WriteString("type", PrecisionNames.Of(recipe.Precision));
        if (recipe.Warmup is { } warmup)
            writer.WriteNumber("warmup", warmup);
        writer.WriteEndObject();
    }

    /// <summary>Reads what can be read; the rest is told.</summary>
    public static DistillationRecipe Read(JsonElement json, List<string> problems) =>
        MemberReader.Read(json, new DistillationRecipe(), Set, problems, "distillation.");

    private static DistillationRecipe Set(DistillationRecipe recipe, string name, JsonElement value) => name switch
    {
        "accumulate" => recipe with { Accumulate = value.GetInt32() },
        "batch" => recipe with { Batch = value.GetInt32() },
        "clip" => recipe with { Clip = value.GetDouble() },
        "evaluateEvery" => recipe with { EvaluateEvery = value.GetInt32() },
        "featureWeight" => recipe with { FeatureWeight = value.GetDouble() },
        "heldOut" => recipe with { HeldOut = value.GetDouble() },
        "learningRate" => recipe with { LearningRate = value.GetDouble() },
        "loss" => recipe with { Loss = Find(value, DistillationLossNames.All) },
        "patience" => recipe with { Patience = value.GetInt32() },
        "seed" => recipe with { Seed = value.GetInt64() },
        "signRate" => recipe with { SignRate = value.GetDouble() },
        "steps" => recipe with { Steps = value.GetInt32() },
        "swapEnd" => recipe with { SwapEnd = value.GetDouble() },
        "temperature" => recipe with { Temperature = value.GetDouble() },
        "type" => recipe with { Precision = Find(value, PrecisionNames.All) },
        "warmup" => recipe with { Warmup = value.GetInt32() },
        _ => throw MemberReader.Unknown(),
    };

    private static T Find<T>(JsonElement value, IReadOnlyDictionary<string, T> known) =>
        known.TryGetValue(value.GetString() ?? "", out var found)
            ? found
            : throw new FormatException($"known are {string.Join(", ", known.Keys)}");
}
