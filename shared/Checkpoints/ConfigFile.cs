using System.Text.Json;
using System.Text.Json.Nodes;

namespace Qbb.Checkpoints;

/// <summary>Reads a <c>config.json</c>, or another JSON file of a model folder, as it is.</summary>
public static class ConfigFile
{
    public const string Name = "config.json";

    private const int MaxLength = 16 << 20;

    /// <exception cref="InvalidInputException">The file is missing, too large, or no JSON object.</exception>
    public static JsonObject Read(string path)
    {
        using var file = MappedFile.Open(path);
        if (file.Length > MaxLength)
            throw new InvalidInputException($"{path}: has {file.Length} bytes, a configuration has {MaxLength} at most");
        try
        {
            var node = JsonNode.Parse(
                file.Slice(0, (int)file.Length),
                documentOptions: new JsonDocumentOptions { AllowDuplicateProperties = false });
            CheckTexts(node);
            return node as JsonObject ?? throw new InvalidInputException($"{path}: is not a JSON object");
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException)
        {
            throw new InvalidInputException($"{path}: is not valid JSON: {e.Message}", e);
        }
    }

    // The parser leaves texts as they are until they are requested: broken UTF-8 and half surrogate pairs show only then.
    private static void CheckTexts(JsonNode? node)
    {
        switch (node)
        {
            case JsonObject members:
                foreach (var (_, value) in members)
                    CheckTexts(value);
                break;
            case JsonArray items:
                foreach (var item in items)
                    CheckTexts(item);
                break;
            case JsonValue value when value.GetValueKind() == JsonValueKind.String:
                value.GetValue<string>();
                break;
        }
    }
}
