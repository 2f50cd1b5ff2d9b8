using System.Text.Json;
using System.Text.Json.Nodes;

namespace Qbb.Checkpoints;

/// <summary>Reads a <c>config.json</c> as it is.</summary>
internal static class ConfigFile
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
            return node as JsonObject ?? throw new InvalidInputException($"{path}: is no JSON object");
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException)
        {
            throw new InvalidInputException($"{path}: is not valid JSON: {e.Message}", e);
        }
    }
}
