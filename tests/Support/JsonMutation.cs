using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Qbb.Tests;

/// <summary>Damages JSON: every other time its bytes (<see cref="Mutation"/>), else one to three values or names, so that it stays JSON.</summary>
internal static class JsonMutation
{
    private static readonly string[] s_values =
    [
        "null", "true", "false", "0", "-1", "1", "2", "3", "7", "64", "0.5", "1e308", "-1e308", "1e-320", "1e999", "2147483647", "2147483648", "9007199254740993",
        "18446744073709551616", "\"\"", "\"x\"", "\"2\"", "\"1e-5\"", "\"NaN\"", "\"half a pair\"", "\"\\u0000\"", "[]", "[null]", "[[2]]", "[2, 3]", "[\"x\"]", "{}",
        "{\"type\": 1}", "{\"rope_type\": \"yarn\", \"factor\": 1e300}", "{\"quant_method\": []}", "\"full_attention\"", "\"yarn\"", "\"gelu\"", "\"gemma\"", "\"gpt2\"",
        "\"" + "long" + "\"",
    ];

    /// <summary>How many cases a test takes: QBB_FUZZ where that is set, else <paramref name="usual"/>.</summary>
    public static int Cases(int usual) => int.TryParse(Environment.GetEnvironmentVariable("QBB_FUZZ"), out var cases) ? cases : usual;

    public static byte[] Of(byte[] original, Random random)
    {
        if (random.Next(2) == 0)
            return Mutation.Of(original, random);
        var root = JsonNode.Parse(original)!;
        for (var count = random.Next(1, 4); count > 0; count--)
            Change(root, random);
        // Half a surrogate pair can be written in JSON, but not by the writer.
        return Encoding.UTF8.GetBytes(root.ToJsonString(new JsonSerializerOptions { MaxDepth = 1000 }).Replace("half a pair", @"\ud800", StringComparison.Ordinal));
    }

    private static void Change(JsonNode root, Random random)
    {
        var parents = new List<JsonNode>();
        Collect(root, parents);
        if (parents.Count == 0)
            return;
        switch (parents[random.Next(parents.Count)])
        {
            case JsonObject members when members.Count > 0:
                var name = members.ElementAt(random.Next(members.Count)).Key;
                switch (random.Next(4))
                {
                    case 0:
                        members.Remove(name);
                        break;
                    case 1:
                        members[members.ElementAt(random.Next(members.Count)).Key] = members[name]?.DeepClone();
                        break;
                    default:
                        members[name] = Value(random);
                        break;
                }
                break;
            case JsonArray { Count: > 0 } items:
                var place = random.Next(items.Count);
                if (random.Next(3) == 0)
                    items.RemoveAt(place);
                else
                    items[place] = Value(random);
                break;
        }
    }

    private static JsonNode? Value(Random random)
    {
        if (random.Next(20) == 0)
            return Enumerable.Range(0, random.Next(1, 200)).Aggregate((JsonNode)new JsonArray(), (inner, _) => new JsonArray(inner));
        return JsonNode.Parse(s_values[random.Next(s_values.Length)].Replace("long", new string('a', 5000), StringComparison.Ordinal));
    }

    private static void Collect(JsonNode? node, List<JsonNode> parents)
    {
        if (node is JsonObject or JsonArray)
            parents.Add(node);
        foreach (var child in node is JsonObject members ? members.Select(pair => pair.Value) : node is JsonArray items ? [.. items] : Array.Empty<JsonNode?>())
            Collect(child, parents);
    }
}
