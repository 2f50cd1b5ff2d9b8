using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Qbb.Models.Decoder;

/// <summary>Typed, checked access to the values of a config.json object; a JSON null counts as absent.</summary>
internal sealed class ConfigValues(JsonObject json, string where)
{
    public JsonObject Json => json;

    /// <summary>Whether the key is written at all, be it as null.</summary>
    public bool Has(string key) => json.ContainsKey(key);

    public bool HasValue(string key) => json[key] is not null;

    public int Size(string key, int? fallback = null, int minimum = 1)
    {
        if (json[key] is not { } node)
            return fallback ?? throw new InvalidInputException($"{where}: '{key}' is missing; the decoder cannot be built without it");
        if (node is JsonValue value && Number(value) is { } number && number == Math.Floor(number) && number >= minimum && number <= int.MaxValue / 4)
            return (int)number;
        throw Wrong(key, node, $"an integer of at least {minimum}");
    }

    /// <summary>The same values with another in place of one that is absent.</summary>
    public ConfigValues WithDefault(string key, double value) => HasValue(key) ? this : With(changed => changed[key] = value);

    /// <summary>The same values with some changed.</summary>
    public ConfigValues With(Action<JsonObject> change)
    {
        var changed = json.DeepClone().AsObject();
        change(changed);
        return new ConfigValues(changed, where);
    }

    public double Number(string key, double fallback) => OptionalNumber(key) ?? fallback;

    public double Positive(string key, double fallback) =>
        Number(key, fallback) is var number && number > 0 ? number : throw Wrong(key, json[key], "a positive number");

    public double? OptionalNumber(string key) => json[key] switch
    {
        null => null,
        JsonValue value when Number(value) is { } number => number,
        var node => throw Wrong(key, node, "a number"),
    };

    public bool Flag(string key, bool fallback) => json[key] switch
    {
        null => fallback,
        JsonValue value when value.GetValueKind() is JsonValueKind.True or JsonValueKind.False => value.GetValue<bool>(),
        var node => throw Wrong(key, node, "true or false"),
    };

    public string? Text(string key) => json[key] switch
    {
        null => null,
        JsonValue value when value.GetValueKind() == JsonValueKind.String => value.GetValue<string>(),
        var node => throw Wrong(key, node, "a string"),
    };

    public IReadOnlyList<double> Numbers(string key) =>
        json[key] is JsonArray array && array.All(node => node is JsonValue value && Number(value) is not null)
            ? [.. array.Select(node => Number(node!.AsValue())!.Value)]
            : throw Wrong(key, json[key], "a list of numbers");

    public IReadOnlyList<string>? Texts(string key) => json[key] switch
    {
        null => null,
        JsonArray array when array.All(node => node is JsonValue value && value.GetValueKind() == JsonValueKind.String) =>
            [.. array.Select(node => node!.GetValue<string>())],
        var node => throw Wrong(key, node, "a list of strings"),
    };

    public ConfigValues? Object(string key) => json[key] switch
    {
        null => null,
        JsonObject inner => new ConfigValues(inner, $"{where}: {key}"),
        var node => throw Wrong(key, node, "an object"),
    };

    public InvalidInputException Wrong(string key, JsonNode? node, string expected) =>
        new($"{where}: '{key}' is {Shorten(node?.ToJsonString() ?? "missing")}, not {expected}");

    public InvalidInputException Unsupported(string key, string reason) =>
        new($"{where}: '{key}' = {Shorten(json[key]?.ToJsonString() ?? "null")} is not supported: {reason}");

    /// <summary>Token ids: one, a list of them, or none; a negative one stands for none.</summary>
    public IReadOnlyList<int> Ids(string key)
    {
        IReadOnlyList<JsonNode?> nodes = json[key] is JsonArray several ? [.. several] : json[key] is { } one ? [one] : [];
        return [.. nodes.Select(node => node is JsonValue value && Number(value) is { } id && id == Math.Floor(id) && Math.Abs(id) <= int.MaxValue
            ? (int)id
            : throw Wrong(key, json[key], "a token id or a list of them")).Where(id => id >= 0).Distinct()];
    }

    // People and tools write numbers as text too: "2", "1e-05".
    private static double? Number(JsonValue value)
    {
        var text = value.GetValueKind() switch
        {
            JsonValueKind.Number => value.ToJsonString(),
            JsonValueKind.String => value.GetValue<string>(),
            _ => null,
        };
        return double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) && double.IsFinite(number) ? number : null;
    }

    private static string Shorten(string text) => text.Length <= 80 ? text : text[..77] + "...";
}
