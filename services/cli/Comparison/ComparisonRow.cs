using System.Text.Json.Serialization;
using Qbb.Evaluator.Accounting;

namespace Qbb.Cli.Comparison;

/// <summary>One line of the table that compares methods.</summary>
/// <param name="Method">The method's name; teacher for the model itself, and the folder's name for one that was there already.</param>
/// <param name="Title">With bits and group, for people.</param>
/// <param name="Bases">N, or bits of a grid; null for models that were there.</param>
/// <param name="Group">Inputs that share a scale; null for those of a row, and where there are no groups or the model was there.</param>
/// <param name="Folder">Where the model is.</param>
/// <param name="BitsPerWeight">Stored bits of the blocks' linear layers, for methods to compare with in their own formats.</param>
/// <param name="BitsPerParameter">Bits of the whole file for each parameter, as qbb stores it.</param>
/// <param name="Bytes">All files that running the model needs, as qbb stores them.</param>
/// <param name="Seconds">Wall time of quantizing; 0 for the teacher.</param>
/// <param name="Scores">One per text.</param>
/// <param name="Work">Of a token that is decoded, with a full window before it, in the form that the bits per weight are of.</param>
internal sealed record ComparisonRow(
    string Method, string Title, int? Bases, int? Group, string Folder, double BitsPerWeight, double BitsPerParameter, long Bytes, double Seconds, IReadOnlyList<TextScore> Scores,
    [property: JsonRequired] TokenCounts Work)
{
    /// <summary>How fast it decodes, as qbb runs it; null where that was not measured.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public DecodingSpeed? Speed { get; init; }

    /// <summary>The method of the model itself.</summary>
    public const string Teacher = "teacher";
}

/// <summary>What a model scored on a text.</summary>
/// <param name="Text">Its name.</param>
/// <param name="Perplexity">exp of the mean cross-entropy per scored token.</param>
/// <param name="Kl">Mean KL(teacher ‖ model) per position in nats; null for the teacher.</param>
/// <param name="Top1">Share of positions where both have the same most likely token; null for the teacher.</param>
/// <param name="Windows">Windows scored.</param>
/// <param name="Tokens">Tokens of those windows.</param>
internal sealed record TextScore(string Text, double Perplexity, double? Kl, double? Top1, int Windows, long Tokens);
