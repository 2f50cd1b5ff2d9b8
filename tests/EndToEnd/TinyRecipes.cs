using Qbb.Tests;

namespace Qbb.EndToEnd.Tests;

/// <summary>A model of two blocks and recipes that take seconds.</summary>
internal static class TinyRecipes
{
    public const string ModelName = "llama-gqa-tied";

    public static string Model { get; } = Reference.Path("architectures", ModelName);

    /// <summary>The model that the demo runs on.</summary>
    public static string SampleTeacher { get; } = Path.Combine(Reference.Root, "samples", "teacher");

    /// <summary>Linear layers of its blocks.</summary>
    public const int SampleTeacherLayers = 56;

    /// <summary>All stages for it.</summary>
    public static PipelineRecipe Teacher() => PipelineRecipe.Parse("""
        {
          "decomposition": { "bases": 3, "group": 128, "importance": "full" },
          "sampling": { "sequences": 96, "length": 256 },
          "filter": { "keep": 0.5 },
          "distillation": { "steps": 20, "batch": 8, "evaluateEvery": 10, "learningRate": 0.004 }
        }
        """);


    /// <summary>One matrix a layer and nothing else: next to no work.</summary>
    public static PipelineRecipe Coarse() => PipelineRecipe.Parse("""
        {
          "decomposition": { "bases": 1, "group": 128, "refinement": "none" },
          "evaluation": { "sampling": { "sequences": 4, "length": 16 } }
        }
        """);

    /// <summary>Layers without calibration, nothing distilled.</summary>
    public static PipelineRecipe Plain(int bases = 2) => PipelineRecipe.Parse($$"""
        {
          "decomposition": { "bases": {{bases}}, "group": 16 },
          "evaluation": { "sampling": { "sequences": 8, "length": 16 } }
        }
        """);

    /// <summary>All stages.</summary>
    public static PipelineRecipe Full(int seed = 0) => PipelineRecipe.Parse($$"""
        {
          "decomposition": { "bases": 2, "group": 16, "importance": "full", "rounds": 5 },
          "sampling": { "sequences": 64, "length": 16, "seed": {{seed}} },
          "filter": { "keep": 0.5 },
          "distillation": { "steps": 40, "batch": 4, "evaluateEvery": 10, "learningRate": 0.01, "seed": {{seed}} },
          "evaluation": { "sampling": { "sequences": 8, "length": 16 } }
        }
        """);

}
