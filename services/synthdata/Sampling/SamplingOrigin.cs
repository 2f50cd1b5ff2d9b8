using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using Qbb.Checkpoints;
using Qbb.Recipes;
using Qbb.Synthdata.Data;

namespace Qbb.Synthdata.Sampling;

/// <summary>
/// All that sampled tokens depend on; two shards of one origin and number hold the same tokens. (Matrix products of another batch, device
/// or library round otherwise in the last digit, so that very rarely a draw falls to the other side of a border.)
/// </summary>
/// <param name="Teacher">Its <see cref="Models.Checkpoints.ModelDigest"/>.</param>
/// <param name="VocabularySize">Of the teacher.</param>
/// <param name="Tokenizer">Digest of its tokenizer.json; null where the teacher has none.</param>
/// <param name="DType">Type that the teacher was calculated in.</param>
/// <param name="StopIds">Tokens that ended a sequence; empty where none does.</param>
/// <param name="Earlier">Digest of the data whose unigram distribution the first tokens follow; null for the uniform one.</param>
/// <param name="Options">The choices.</param>
public sealed record SamplingOrigin(
    string Teacher,
    int VocabularySize,
    string? Tokenizer,
    [property: JsonPropertyName("dtype")] string DType,
    IReadOnlyList<int> StopIds,
    string? Earlier,
    SamplingOptions Options)
{
    /// <summary>The same origin has the same text.</summary>
    internal string ToJson() => JsonSerializer.Serialize(this, DataJson.Compact);

    /// <summary>What differs between two origins, for a message: "seed is 1, not 0; length is 64, not 512".</summary>
    /// <param name="earlier">The other one's <see cref="ToJson"/>.</param>
    internal string DifferenceFrom(string earlier)
    {
        try
        {
            var ours = Flatten(JsonNode.Parse(ToJson())!);
            var theirs = Flatten(JsonNode.Parse(earlier)!).ToDictionary(member => member.Name, member => member.Value);
            var differences = ours.Where(member => theirs.GetValueOrDefault(member.Name) != member.Value)
                .Select(member => $"{member.Name} {theirs.GetValueOrDefault(member.Name) ?? "(none)"}, now {member.Value}").ToList();
            return differences.Count > 0 ? string.Join("; ", differences) : "other options";
        }
        catch (JsonException)
        {
            return "other options";
        }
    }

    private static IEnumerable<(string Name, string Value)> Flatten(JsonNode node)
    {
        foreach (var (name, value) in node.AsObject())
        {
            if (value is JsonObject inner)
            {
                foreach (var member in Flatten(inner))
                    yield return member;
            }
            else
            {
                yield return (name, value?.ToJsonString() ?? "none");
            }
        }
    }
}
