using System.Text.Json.Nodes;

namespace Qbb.Recipes;

/// <summary>The recipe's part "evaluation".</summary>
public sealed record EvaluationPart
{
    /// <summary>The text to score on; null for sampled sequences, each of which is a window.</summary>
    public Digest? Text { get; init; }

    public TextLayout Layout { get; init; }

    /// <summary>Tokens of a window; null for 2048, or the model's longest context if that is shorter.</summary>
    public int? Context { get; init; }

    /// <summary>Windows at most; null for all.</summary>
    public int? Windows { get; init; }

    /// <summary>Of the sequences to score on: synthdata's to read.</summary>
    public JsonObject? Sampling { get; init; }

    /// <summary>Reads the part of a recipe.</summary>
    /// <exception cref="InvalidInputException">It cannot be used; the message lists everything that is wrong.</exception>
    public static EvaluationPart FromJson(string json) =>
        PartJson.Require<EvaluationPart>(PartJson.Parse(json, "evaluation"), "evaluation", part => part.Problems());

    internal IEnumerable<string> Problems()
    {
        if (Context < 2)
            yield return $"context is {Context}; it must be at least 2";
        if (Windows < 1)
            yield return $"windows is {Windows}; it must be at least 1";
    }
}
