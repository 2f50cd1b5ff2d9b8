namespace Qbb.Models.Tokenizers;

/// <summary>The tokenizer's part of a GGUF file's metadata, checked.</summary>
internal sealed class GgufVocabulary
{
    private const string Prefix = "tokenizer.ggml.";

    private readonly IReadOnlyDictionary<string, object> metadata;
    private readonly string source;

    public GgufVocabulary(IReadOnlyDictionary<string, object> metadata, string source)
    {
        this.metadata = metadata;
        this.source = source;
        Tokens = Required<string[]>("tokens", "an array of strings");
        var types = Optional<int[]>("token_type", "an array of 32-bit integers") ?? [];
        Types = Sized(types.Length == 0 ? Enumerable.Repeat((int)GgufTokenType.Normal, Tokens.Count).ToArray() : types, "token_type")
            .Select(type => (GgufTokenType)type).ToArray();
        Ids = [];
        // An empty token cannot be met in a text; llama.cpp gives it this name, so that it has one of its own.
        Tokens = [.. Tokens.Select((token, id) => token.Length > 0 ? token : $"[EMPTY_{id}]")];
        for (var id = 0; id < Tokens.Count; id++)
            if (!Ids.TryAdd(Tokens[id], id))
                throw Error("tokens", $"holds \"{Tokens[id]}\" twice, as {Ids[Tokens[id]]} and {id}");
    }

    public IReadOnlyList<string> Tokens { get; }

    public IReadOnlyList<GgufTokenType> Types { get; }

    public Dictionary<string, int> Ids { get; }

    public InvalidInputException Error(string key, string complaint) => new($"{source}: the metadata \"{Prefix}{key}\" {complaint}");

    public T Required<T>(string key, string kind)
        where T : class => Optional<T>(key, kind) ?? throw Error(key, "is missing");

    public T? Optional<T>(string key, string kind)
        where T : class => metadata.TryGetValue(Prefix + key, out var value) ? value as T ?? throw Error(key, $"is not {kind}") : null;

    public bool Flag(string key, bool otherwise)
    {
        if (!metadata.TryGetValue(Prefix + key, out var value))
            return otherwise;
        return value as bool? ?? throw Error(key, "is not a truth value");
    }

    /// <summary>The id under a key, or a default; null where neither is a token.</summary>
    public int? Id(string key, int otherwise)
    {
        if (!metadata.TryGetValue(Prefix + key, out var value))
            return otherwise >= 0 && otherwise < Tokens.Count ? otherwise : null;
        var id = value switch
        {
            ulong number when number < (ulong)Tokens.Count => (int)number,
            long number when number >= 0 && number < Tokens.Count => (int)number,
            int number when number >= 0 && number < Tokens.Count => number,
            uint number when number < Tokens.Count => (int)number,
            _ => -1,
        };
        return id >= 0 ? id : throw Error(key, $"is {value}, which is not an id of the {Tokens.Count} tokens");
    }

    /// <summary>Scores of SentencePiece's pieces.</summary>
    public float[] Scores()
    {
        var scores = Sized(Required<float[]>("scores", "an array of 32-bit floats"), "scores");
        return Array.TrueForAll(scores, float.IsFinite) ? scores : throw Error("scores", "holds a number that is not finite");
    }

    /// <summary>The model's name, which tells of some habits that the metadata has no key for.</summary>
    public string ModelName => metadata.GetValueOrDefault("general.name") as string ?? "";

    private T[] Sized<T>(T[] array, string key) =>
        array.Length == Tokens.Count ? array : throw Error(key, $"has {array.Length} elements for {Tokens.Count} tokens");
}
