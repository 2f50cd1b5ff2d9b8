using System.Text.Json;

namespace Qbb.Models.Tokenizers;

/// <summary>A value of tokenizer.json together with its place, so that every complaint can name it.</summary>
internal readonly struct JsonField(JsonElement element, string path, string source)
{
    public JsonElement Element => element;

    public bool IsNull => element.ValueKind is JsonValueKind.Null or JsonValueKind.Undefined;

    public string Path => path;

    /// <summary>The component's kind, under "type".</summary>
    public string Type => this["type"].String();

    /// <summary>A member of the object, which may be absent: then its value is null.</summary>
    public JsonField this[string name]
    {
        get
        {
            if (element.ValueKind != JsonValueKind.Object)
                throw Error("is not an object");
            var inner = path.Length == 0 ? name : $"{path}.{name}";
            return new JsonField(element.TryGetProperty(name, out var value) ? value : default, inner, source);
        }
    }

    public InvalidInputException Error(string complaint) =>
        new($"{source}: {(path.Length == 0 ? "the tokenizer" : $"\"{path}\"")} {complaint}");

    public string String()
    {
        if (element.ValueKind != JsonValueKind.String)
            throw Error("is missing or is not a string");
        try
        {
            return element.GetString()!;
        }
        catch (InvalidOperationException)
        {
            throw Error("holds half of a surrogate pair, which is not valid text");
        }
    }

    /// <summary>A string no longer than real tokenizers have it, where a longer one would let a small file make much work.</summary>
    public string ShortString(int most)
    {
        var text = String();
        return text.Length <= most ? text : throw Error($"has {text.Length} characters, more than {most}");
    }

    public string StringOr(string otherwise) => IsNull ? otherwise : String();

    public bool BoolOr(bool otherwise) => element.ValueKind switch
    {
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        _ when IsNull => otherwise,
        _ => throw Error("is not true or false"),
    };

    public int Int(int least, int most)
    {
        if (element.ValueKind != JsonValueKind.Number || !element.TryGetInt64(out var value))
            throw Error("is missing or is not a whole number");
        return value >= least && value <= most ? (int)value : throw Error($"is {value}, outside {least} … {most}");
    }

    public IEnumerable<JsonField> Items()
    {
        if (element.ValueKind != JsonValueKind.Array)
            throw Error("is missing or is not an array");
        var (origin, prefix) = (source, path);
        return element.EnumerateArray().Select((item, index) => new JsonField(item, $"{prefix}[{index}]", origin));
    }

    public int Count => element.ValueKind == JsonValueKind.Array ? element.GetArrayLength() : throw Error("is missing or is not an array");

    public IEnumerable<(string Name, JsonField Value)> Members()
    {
        if (element.ValueKind != JsonValueKind.Object)
            throw Error("is missing or is not an object");
        var (origin, place) = (source, path);
        return element.EnumerateObject().Select(member => (member.Name, new JsonField(member.Value, place, origin)));
    }
}
