using System.Text.Json.Nodes;
using Qbb.Contracts;

namespace Qbb.Standalone.Registry;

/// <summary>What becomes of an upload where nobody says otherwise: three bases, calibrated and distilled on what the model samples itself.</summary>
internal static class DefaultRecipe
{
    public const string Name = "qbb-3";

    public static PipelineRecipe Create() => PipelineRecipe.Parse("""
        {
          "decomposition": { "bases": 3, "group": 128, "importance": "full" },
          "sampling": { "sequences": 256 },
          "filter": { "keep": 0.5 },
          "distillation": { "steps": 60, "batch": 8 }
        }
        """);

    /// <summary>The recipe, scored on a text.</summary>
    public static PipelineRecipe ScoredOn(this PipelineRecipe recipe, Digest text)
    {
        var evaluation = (JsonObject)recipe.Evaluation.DeepClone();
        evaluation.Remove("sampling");
        evaluation["text"] = text.Value;
        return recipe with { Evaluation = evaluation };
    }
}
