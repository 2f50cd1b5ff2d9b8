using System.Text.Json;
using System.Text.Json.Nodes;

namespace Qbb.Inference.Serving.OpenAi;

/// <summary>The fields of a request. Each is refused by name where its value cannot be used; fields that nobody has read are unknown.</summary>
internal sealed class RequestFields(JsonObject body)
{
    private readonly HashSet<string> _read = [];

    /// <summary>A field's value; null where it is missing or null.</summary>
    public JsonNode? Value(string name)
    {
        _read.Add(name);
        return body[name];
    }

    public double? Number(string name, double least, double most)
    {
        if (Value(name) is not { } node)
            return null;
        var number = node.GetValueKind() == JsonValueKind.Number ? node.GetValue<JsonElement>().GetDouble() : throw Wrong(name, "a number");
        return number >= least && number <= most ? number : throw ApiException.Invalid(name, $"{name} is {number}; it must be {least} to {most}.");
    }

    public long? Integer(string name, long least, long most)
    {
        if (Value(name) is not { } node)
            return null;
        return node.GetValueKind() != JsonValueKind.Number || !node.GetValue<JsonElement>().TryGetInt64(out var number) ? throw Wrong(name, "an integer")
            : number >= least && number <= most ? number
            : throw ApiException.Invalid(name, $"{name} is {number}; it must be {least} to {most}.");
    }

    public bool? Flag(string name) => Value(name) is not { } node ? null : node.GetValueKind() switch
    {
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        _ => throw Wrong(name, "true or false"),
    };

    public string? Text(string name) => Value(name) is not { } node ? null : node.GetValueKind() == JsonValueKind.String ? node.GetValue<string>() : throw Wrong(name, "a string");

    /// <summary>A string, or several.</summary>
    public IReadOnlyList<string> Texts(string name, int most)
    {
        var node = Value(name);
        string[] texts = node switch
        {
            null => [],
            JsonArray list when list.All(IsText) => [.. list.Select(text => text!.GetValue<string>())],
            _ when IsText(node) => [node.GetValue<string>()],
            _ => throw Wrong(name, "a string or a list of strings"),
        };
        return texts.Length > most ? throw ApiException.Invalid(name, $"{name} has {texts.Length} strings; at most {most} are possible.")
            : texts.Any(text => text.Length == 0) ? throw ApiException.Invalid(name, $"{name} has an empty string.") : texts;
    }

    public RequestFields? Object(string name) => Value(name) is not { } node ? null : node is JsonObject inner ? new(inner) : throw Wrong(name, "an object");

    /// <summary>Token ids and numbers.</summary>
    public IReadOnlyDictionary<int, double> Biases(string name, int vocabulary)
    {
        if (Value(name) is not { } node)
            return new Dictionary<int, double>();
        var biases = new Dictionary<int, double>();
        foreach (var (key, value) in node as JsonObject ?? throw Wrong(name, "an object of token ids and numbers"))
        {
            if (!int.TryParse(key, out var id) || id < 0 || id >= vocabulary)
                throw ApiException.Invalid(name, $"{name}: '{key}' is not a token id; ids are 0 to {vocabulary - 1}.");
            if (value?.GetValueKind() != JsonValueKind.Number || value.GetValue<JsonElement>().GetDouble() is not (>= -100 and <= 100 and var bias))
                throw ApiException.Invalid(name, $"{name}: the bias of token {key} must be -100 to 100.");
            biases[id] = bias;
        }
        return biases;
    }

    /// <summary>Fields that have no effect here.</summary>
    public void Ignore(params string[] names) => _read.UnionWith(names);

    /// <summary>Refuses what this server cannot do, unless the value is the one that asks for nothing.</summary>
    public void Refuse(string name, Func<JsonNode, bool> asksForNothing)
    {
        if (Value(name) is { } node && !asksForNothing(node))
            throw ApiException.Invalid(name, $"{name} is not supported by this server.", "unsupported_parameter");
    }

    /// <summary>Refuses fields that were not read.</summary>
    public void End()
    {
        if (body.Select(field => field.Key).FirstOrDefault(name => !_read.Contains(name)) is { } unknown)
            throw ApiException.Invalid(unknown, $"Unknown field {unknown}.", "unknown_parameter");
    }

    public static ApiException Wrong(string name, string expected) => ApiException.Invalid(name, $"{name} must be {expected}.", "invalid_type");

    private static bool IsText(JsonNode? node) => node?.GetValueKind() == JsonValueKind.String;
}
