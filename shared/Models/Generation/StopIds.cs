using System.Text.Json.Nodes;
using Qbb.Checkpoints;

namespace Qbb.Models.Generation;

/// <summary>The tokens at which a model's text ends: eos_token_id of generation_config.json, else of config.json; one or several.</summary>
public static class StopIds
{
    public static IReadOnlyList<int> Of(ModelSource source)
    {
        var file = Directory.Exists(source.Path) ? Path.Combine(source.Path, "generation_config.json") : "";
        var generation = File.Exists(file) ? JsonNode.Parse(File.ReadAllText(file)) as JsonObject : null;
        return (generation?["eos_token_id"] ?? source.ConfigJson["eos_token_id"]) switch
        {
            JsonArray several => [.. several.Select(node => node!.GetValue<int>())],
            JsonValue one => [one.GetValue<int>()],
            _ => [],
        };
    }
}
