using System.Text.Json;
using System.Text.Json.Nodes;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Recipes;
using Qbb.Synthdata.Sampling;

namespace Qbb.Synthdata.Work;

/// <summary>The recipe's part "sampling": members of <see cref="SamplingOptions"/>; and what is sampled for the part "evaluation".</summary>
internal static class SamplingPart
{
    private const int UsualLength = 512;
    private const int UsualEvaluationSequences = 32;

    // Other draws than those that are trained on, whatever seed these have.
    private const ulong EvaluationSeed = 0x6576616c;

    /// <param name="json">The part, as the command names it.</param>
    /// <param name="use">Decides which part it is.</param>
    /// <param name="config">Of the teacher.</param>
    /// <exception cref="InvalidInputException">It has unknown members or values.</exception>
    public static SamplingOptions Read(string json, DataUse use, DecoderConfig config)
    {
        try
        {
            var part = (JsonObject)JsonNode.Parse(json)!;
            if (use == DataUse.Evaluation)
                part = part["sampling"]?.DeepClone() as JsonObject ?? [];
            var options = SamplingOptions.FromJson(part);
            if (!part.ContainsKey("length"))
                options = options with { Length = Math.Min(UsualLength, config.MaxPositions) };
            if (use == DataUse.Evaluation)
            {
                options = options with
                {
                    Seed = options.Seed ^ EvaluationSeed,
                    Sequences = part.ContainsKey("sequences") ? options.Sequences : UsualEvaluationSequences,
                };
            }
            options.Validate();
            return options;
        }
        catch (Exception error) when (error is JsonException or InvalidCastException or InvalidOperationException)
        {
            throw new InvalidInputException($"the recipe's sampling cannot be used: {error.Message}", error);
        }
    }
}
