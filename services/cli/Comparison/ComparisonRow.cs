using System.Text.Json.Nodes;
using Qbb.Evaluator.Accounting;
using Qbb.Evaluator.Scoring;

namespace Qbb.Cli.Comparison;

/// <summary>One line of the table that compares methods.</summary>
/// <param name="Name">The method, and N.</param>
/// <param name="Folder">Where the model is.</param>
/// <param name="Size">Bytes, bits, operations.</param>
/// <param name="Scores">One per text.</param>
/// <param name="Seconds">Wall time of quantizing; 0 for the teacher.</param>
internal sealed record ComparisonRow(
    string Name, string Folder, ArtifactSize Size, IReadOnlyList<(string Text, Score Score)> Scores, double Seconds)
{
    public JsonObject ToJson() => new()
    {
        ["method"] = Name,
        ["folder"] = Folder,
        ["bitsPerWeight"] = Size.EffectiveBitsPerWeight,
        ["bitsPerParameter"] = Size.BitsPerParameter,
        ["bytes"] = Size.Bytes,
        ["seconds"] = Seconds,
        ["scores"] = new JsonArray([.. Scores.Select(s => new JsonObject
        {
            ["text"] = s.Text,
            ["perplexity"] = s.Score.Perplexity,
            ["kl"] = s.Score.Kl,
            ["top1"] = s.Score.Top1,
            ["windows"] = s.Score.Windows,
            ["tokens"] = s.Score.Tokens,
        })]),
    };
}
