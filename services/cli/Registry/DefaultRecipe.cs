using System.Text.Json.Nodes;

namespace Qbb.Cli.Registry;

/// <summary>What becomes of an upload where nobody says otherwise: three bases by the balanced preset, calibrated on what the model samples itself and distilled as far as the machine has time.</summary>
internal static class DefaultRecipe
{
    public const string Name = "qbb-3";

    public static PipelineRecipe Create()
    {
        using var stream = typeof(DefaultRecipe).Assembly.GetManifestResourceStream("Qbb.Cli.default-recipe.json")!;
        using var reader = new StreamReader(stream);
        return PipelineRecipe.Parse(reader.ReadToEnd());
    }

    /// <summary>The recipe, scored on a text.</summary>
    public static PipelineRecipe ScoredOn(this PipelineRecipe recipe, Digest text)
    {
        var evaluation = (JsonObject)recipe.Evaluation.DeepClone();
        evaluation.Remove("sampling");
        evaluation["text"] = text.Value;
        return recipe with { Evaluation = evaluation };
    }
}
