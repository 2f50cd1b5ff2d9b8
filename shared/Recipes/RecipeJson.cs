using System.Text;
using System.Text.Json;

namespace Qbb.Recipes;

/// <summary>
/// A recipe as JSON, in parts: <c>decomposition</c> and, where there is one, <c>distillation</c>. Members are camelCase in ordinal order, names
/// in kebab-case, members that do not apply left out.
/// </summary>
internal static class RecipeJson
{
    private const string Row = "row";
    private const string Bases = "bases";

    public static string Write(Recipe recipe)
    {
        using var stream = new MemoryStream();
        using (var writer = new Utf8JsonWriter(stream))
        {
            writer.WriteStartObject();
            writer.WriteStartObject("decomposition");
            writer.WriteNumber("bases", recipe.Bases);
            if (recipe.BasesPerLayer is { } perLayer)
            {
                writer.WriteStartObject("basesPerLayer");
                foreach (var (layer, count) in perLayer)
                    writer.WriteNumber(layer, count);
                writer.WriteEndObject();
            }
            writer.WriteBoolean("bias", recipe.Bias);
            if (recipe.Bits is { } bits)
                writer.WriteNumber("bits", bits);
            if (recipe.Embedding == EmbeddingForm.Bases)
                writer.WriteString("embedding", Bases);
            else
                writer.WriteNumber("embedding", (int)recipe.Embedding);
            if (recipe.Exports is { } exports)
            {
                writer.WriteStartArray("exports");
                foreach (var name in exports.Names)
                    writer.WriteStringValue(name);
                writer.WriteEndArray();
            }
            if (recipe.Group is { } group)
                writer.WriteNumber("group", group);
            else
                writer.WriteString("group", Row);
            if (recipe.Importance != Importance.None)
                writer.WriteString("importance", Name(recipe.Importance));
            writer.WriteString("init", Name(recipe.Init));
            if (recipe.LearningRate is { } rate)
                writer.WriteNumber("learningRate", rate);
            if (recipe.Nested)
                writer.WriteBoolean("nested", true);
            writer.WriteString("refinement", Name(recipe.Refinement));
            if (recipe.Rounds is { } rounds)
                writer.WriteNumber("rounds", rounds);
            writer.WriteNumber("seed", recipe.Seed);
            if (recipe.Starts is { } starts)
                writer.WriteString("starts", Name(starts));
            if (recipe.Steps is { } steps)
                writer.WriteNumber("steps", steps);
            if (recipe.Target is { } target)
                writer.WriteString("target", target.Name);
            writer.WriteEndObject();
            if (recipe.Distillation is { } distillation)
                DistillationRecipeJson.Write(writer, distillation);
            writer.WriteEndObject();
        }
        return Encoding.UTF8.GetString(stream.ToArray());
    }

    /// <summary>Reads the part <c>decomposition</c>; what cannot be read is told.</summary>
    public static Recipe Read(string json, List<string> problems)
    {
        try
        {
            using var document = JsonDocument.Parse(json);
            return MemberReader.Read(document.RootElement, Start(document.RootElement), Set, problems);
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            throw new InvalidInputException($"the recipe is not a valid JSON object: {error.Message}", error);
        }
    }

    /// <summary>What members that are left out are: with a target, what it has.</summary>
    private static Recipe Start(JsonElement json) =>
        json.TryGetProperty("target", out var name) && Target.All.FirstOrDefault(target => name.ValueKind == JsonValueKind.String && target.Name == name.GetString()) is { } target
            ? new Recipe().For(target) : new Recipe();

    private static Recipe Set(Recipe recipe, string name, JsonElement value) => name switch
    {
        "bases" => recipe with { Bases = value.GetInt32() },
        "basesPerLayer" => recipe with
        {
            BasesPerLayer = ReadLayers(value),
        },
        "bias" => recipe with { Bias = value.GetBoolean() },
        "bits" => recipe with { Bits = value.GetDouble() },
        "embedding" => recipe with { Embedding = ReadEmbedding(value) },
        "exports" => recipe with { Exports = ReadExports(value) },
        "group" => recipe with { Group = value.ValueKind == JsonValueKind.String && value.GetString() == Row ? null : value.GetInt32() },
        "importance" => recipe with { Importance = Parse<Importance>(value) },
        "init" => recipe with { Init = Parse<Init>(value) },
        "learningRate" => recipe with { LearningRate = value.GetDouble() },
        "nested" => recipe with { Nested = value.GetBoolean() },
        "refinement" => recipe with { Refinement = Parse<Refinement>(value) },
        "rounds" => recipe with { Rounds = value.GetInt32() },
        "seed" => recipe with { Seed = value.GetInt64() },
        "starts" => recipe with { Starts = Parse<Starts>(value) },
        "steps" => recipe with { Steps = value.GetInt32() },
        "target" => recipe with { Target = Target.Parse(value.GetString()) },
        _ => throw MemberReader.Unknown(),
    };

    internal static string Name<T>(T value)
        where T : struct, Enum => JsonNamingPolicy.KebabCaseLower.ConvertName(value.ToString());

    private static LayerBases ReadLayers(JsonElement value)
    {
        try
        {
            return new LayerBases(value.EnumerateObject().Select(layer => KeyValuePair.Create(layer.Name, layer.Value.GetInt32())));
        }
        catch (InvalidInputException error)
        {
            throw new FormatException(error.Message, error);
        }
    }

    private static ExportFormats? ReadExports(JsonElement value) => value.ValueKind == JsonValueKind.Array && value.EnumerateArray().All(name => name.ValueKind == JsonValueKind.String)
        ? value.GetArrayLength() == 0 ? null : new(value.EnumerateArray().Select(name => name.GetString()!))
        : throw new FormatException($"it must be a list of {string.Join(", ", Target.Exports)}");

    private static EmbeddingForm ReadEmbedding(JsonElement value)
    {
        if (value.ValueKind == JsonValueKind.String && value.GetString() == Bases)
            return EmbeddingForm.Bases;
        return value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out var bits) && bits > 0 && Enum.IsDefined((EmbeddingForm)bits)
            ? (EmbeddingForm)bits
            : throw new FormatException("known are 4, 6, 8, 16 and \"bases\"");
    }

    private static T Parse<T>(JsonElement value)
        where T : struct, Enum
    {
        var text = value.GetString();
        foreach (var candidate in Enum.GetValues<T>())
        {
            if (Name(candidate) == text)
                return candidate;
        }
        throw new FormatException($"known are {string.Join(", ", Enum.GetValues<T>().Select(Name))}");
    }
}
