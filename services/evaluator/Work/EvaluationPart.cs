using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using Qbb.Contracts;
using Qbb.Evaluator.Text;
using Qbb.Models;

namespace Qbb.Evaluator.Work;

/// <summary>The recipe's part "evaluation".</summary>
internal sealed record EvaluationPart
{
    private static readonly JsonSerializerOptions s_json = new(JsonSerializerDefaults.Web)
    {
        UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
        NumberHandling = JsonNumberHandling.Strict,
        PropertyNameCaseInsensitive = false,
        Converters = { new JsonStringEnumConverter<TextLayout>(JsonNamingPolicy.KebabCaseLower, allowIntegerValues: false) },
    };

    /// <summary>The text to score on; null for sampled sequences, each of which is a window.</summary>
    public Digest? Text { get; init; }

    public TextLayout Layout { get; init; }

    /// <summary>Tokens of a window; null for 2048, or the model's longest context if that is shorter.</summary>
    public int? Context { get; init; }

    /// <summary>Windows at most; null for all.</summary>
    public int? Windows { get; init; }

    /// <summary>Of the sequences to score on: synthdata's to read.</summary>
    public JsonObject? Sampling { get; init; }

    /// <exception cref="InvalidInputException">It has unknown members or values.</exception>
    public static EvaluationPart Read(string json)
    {
        try
        {
            return JsonSerializer.Deserialize<EvaluationPart>(json, s_json)!;
        }
        catch (JsonException error)
        {
            throw new InvalidInputException($"the recipe's evaluation cannot be used: {error.Message}", error);
        }
    }
}
