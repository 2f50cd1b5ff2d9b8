using System.Globalization;
using System.Text.Json.Nodes;
using Qbb.Checkpoints;

namespace Qbb.Models.Tokenizers;

/// <summary>
/// A tokenizer.json as the metadata of a GGUF file: what <see cref="GgufTokenizer"/> undoes. Byte-level BPE whose words are cut as one of
/// llama.cpp's named pre-tokenizers cuts them, and BPE of SentencePiece's pieces.
/// </summary>
public static class GgufTokenizerKeys
{
    private const string Prefix = "tokenizer.ggml.";

    /// <summary>Texts that tell pre-tokenizers apart: what is written must give the same ids for them.</summary>
    private static readonly string[] s_probes =
    [
        "Hello, world! It's 2024; they'll've paid $1,234,567.89 (or so).", "  two  spaces\n\n\nand\tlines \r\n end ", "naïve café, ÀÉÎ; Ωμέγα; 東京は晴れ、한국어도; привет мир",
        "x = [i**2 for i in range(10)]  # code\n    return {\"a\": 1}\n", "HTTPServer camelCase DON'T don'T 3rd 10th ½ 🙂 👩‍👩‍👧", "...!!! --- ~~~ <|x|> \u00a0\u200b", "",
        "                    twenty spaces\t\t\t\t\t\t\t\tand tabs",
    ];

    /// <summary>The keys of a tokenizer.</summary>
    /// <param name="tokenizer">The tokenizer.</param>
    /// <param name="rows">Rows of the model's embedding: as many tokens are written.</param>
    /// <param name="ends">Tokens at which a text ends, the model's own end first.</param>
    /// <param name="padding">The padding token, or null.</param>
    /// <exception cref="InvalidInputException">llama.cpp has no such tokenizer, or would give other ids.</exception>
    public static IReadOnlyList<KeyValuePair<string, object>> Of(Tokenizer tokenizer, int rows, IReadOnlyList<int> ends, int? padding)
    {
        var json = tokenizer.ToJson();
        if (tokenizer.VocabularySize > rows)
            throw new InvalidInputException($"the tokenizer has {tokenizer.VocabularySize} tokens and the model's embedding {rows} rows: the tokenizer belongs to another model");
        if (json["model"]?["type"]?.ToString() is var type && type is not (null or "BPE") || json["model"]?["vocab"] is not JsonObject vocabulary)
            throw Unknown($"of type {json["model"]?["type"]}");
        var keys = new Dictionary<string, object>();
        var (tokens, types) = Tokens(json, vocabulary, rows);
        var merges = Merges(json);
        if (IsByteLevel(json))
        {
            keys[Prefix + "model"] = "gpt2";
            keys[Prefix + "pre"] = PreTokenizer(json);
            keys[Prefix + "tokens"] = tokens;
            keys[Prefix + "token_type"] = types;
            keys[Prefix + "merges"] = merges;
        }
        else
        {
            keys[Prefix + "model"] = "llama";
            keys[Prefix + "pre"] = "default";
            keys[Prefix + "tokens"] = tokens;
            keys[Prefix + "scores"] = Scores(tokens, types, merges);
            keys[Prefix + "token_type"] = types;
            keys[Prefix + "add_space_prefix"] = AddsSpace(json);
            if (Array.IndexOf(types, (int)GgufTokenType.Unknown) is >= 0 and var unknown)
                keys[Prefix + "unknown_token_id"] = (uint)unknown;
        }
        keys[Prefix + "add_bos_token"] = tokenizer.BeginOfSequence is not null;
        keys[Prefix + "add_eos_token"] = tokenizer.EndOfSequence is not null;
        if (tokenizer.BeginOfSequence is { } begin)
            keys[Prefix + "bos_token_id"] = (uint)begin;
        string[] names = ["eos", "eot", "eom"];
        foreach (var (name, end) in names.Zip(ends))
            keys[$"{Prefix}{name}_token_id"] = (uint)end;
        if (padding is >= 0)
            keys[Prefix + "padding_token_id"] = (uint)padding;
        CheckSame(tokenizer, json, keys);
        return [.. keys];
    }

    /// <exception cref="InvalidInputException">llama.cpp's ids for some text are others.</exception>
    private static void CheckSame(Tokenizer tokenizer, JsonObject json, Dictionary<string, object> keys)
    {
        var written = GgufTokenizer.Load(keys, "the GGUF file's tokenizer");
        if (IsByteLevel(json) && Steps(json["normalizer"], "normalizers").Any())
        {
            ModelWarnings.Report("the tokenizer normalizes texts (to composed characters), which llama.cpp does not: texts that are not composed have other ids there");
            json["normalizer"] = null;
            tokenizer = Tokenizer.FromJson(json, "tokenizer.json");
        }
        foreach (var probe in s_probes)
        {
            if (!written.Encode(probe).SequenceEqual(tokenizer.Encode(probe)))
                throw Unknown($"that gives the same ids as this one for {JsonValue.Create(probe).ToJsonString()}");
        }
    }

    private static bool IsByteLevel(JsonObject json) => Steps(json["pre_tokenizer"], "pretokenizers").Any(step => step["type"]?.ToString() == "ByteLevel");

    private static (string[] Tokens, int[] Types) Tokens(JsonObject json, JsonObject vocabulary, int rows)
    {
        var tokens = new string?[rows];
        var types = new int[rows];
        foreach (var (token, id) in vocabulary)
            (tokens[(int)id!], types[(int)id!]) = (token, (int)(IsByte(token) && !IsByteLevel(json) ? GgufTokenType.Byte : GgufTokenType.Normal));
        var unknown = json["model"]!["unk_token"]?.ToString();
        foreach (var added in json["added_tokens"]?.AsArray() ?? [])
        {
            var id = (int)added!["id"]!;
            tokens[id] = added["content"]!.ToString();
            types[id] = (int)(tokens[id] == unknown ? GgufTokenType.Unknown : (bool)added["special"]! ? GgufTokenType.Control : GgufTokenType.UserDefined);
        }
        for (var id = 0; id < rows; id++)
        {
            if (tokens[id] is null)
                (tokens[id], types[id]) = (string.Create(CultureInfo.InvariantCulture, $"[PAD{id}]"), (int)GgufTokenType.Unused);
        }
        return ([.. tokens.OfType<string>()], types);
    }

    private static bool IsByte(string token) => token.Length == 6 && token.StartsWith("<0x", StringComparison.Ordinal) && token[5] == '>';

    private static string[] Merges(JsonObject json) =>
        [.. json["model"]!["merges"]!.AsArray().Select(merge => merge is JsonArray pair ? $"{pair[0]} {pair[1]}" : merge!.ToString())];

    /// <summary>The better, the earlier a merge makes the piece: SentencePiece joins the neighbours of the best score first.</summary>
    private static float[] Scores(string[] tokens, int[] types, string[] merges)
    {
        var ranks = new Dictionary<string, int>(StringComparer.Ordinal);
        for (var rank = 0; rank < merges.Length; rank++)
            ranks.TryAdd(merges[rank].Replace(" ", "", StringComparison.Ordinal), ranks.Count);
        return [.. tokens.Select((token, id) => types[id] != (int)GgufTokenType.Normal ? 0f : ranks.TryGetValue(token, out var rank) ? -rank : -1e9f)];
    }

    private static bool AddsSpace(JsonObject json) => Steps(json["normalizer"], "normalizers").Any(step => step["type"]?.ToString() == "Prepend")
        || Steps(json["pre_tokenizer"], "pretokenizers").Any(step => step["type"]?.ToString() == "Metaspace"
            && (step["prepend_scheme"]?.ToString() ?? (step["add_prefix_space"]?.ToString() == "false" ? "never" : "always")) != "never");

    /// <summary>The name of the pre-tokenizer that cuts words as this one does.</summary>
    private static string PreTokenizer(JsonObject json)
    {
        var cuts = Cuts(json["pre_tokenizer"]);
        var ignoresMerges = json["model"]!["ignore_merges"]?.ToString() == "true";
        return GgufPreTokenizers.Names.OrderBy(name => GgufPreTokenizers.IsAlias(name)).FirstOrDefault(name =>
            GgufPreTokenizers.Find(name) is { } known && known.IgnoreMerges == ignoresMerges && Cuts(GgufPreTokenizers.ToJson(known)).SequenceEqual(cuts))
            ?? throw Unknown("whose words are cut as this one's are");
    }

    /// <summary>The steps in one spelling.</summary>
    private static List<string> Cuts(JsonNode? preTokenizer) => [.. Steps(preTokenizer, "pretokenizers").Select(step => step["type"]?.ToString() switch
    {
        "Digits" when step["individual_digits"]?.ToString() == "true" => @"\p{N}",
        "Digits" => @"\p{N}+",
        "ByteLevel" => $"ByteLevel {step["add_prefix_space"]?.ToString() == "true"} {step["use_regex"]?.ToString() != "false"}",
        "Split" when step["behavior"]?.ToString() == "Isolated" && step["invert"]?.ToString() != "true" => Pattern(step),
        // What is between the words is empty where the pattern covers every text.
        "Split" when step["behavior"]?.ToString() == "Removed" && step["invert"]?.ToString() == "true" => Pattern(step),
        _ => step.ToJsonString(),
    })];

    private static string Pattern(JsonObject step) =>
        step["pattern"]?["Regex"]?.ToString().Replace("\r", "\\r", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal) ?? step.ToJsonString();

    private static IEnumerable<JsonObject> Steps(JsonNode? node, string member) => node switch
    {
        JsonObject step when step["type"]?.ToString() == "Sequence" => step[member]!.AsArray().OfType<JsonObject>(),
        JsonObject step => [step],
        _ => [],
    };

    private static InvalidInputException Unknown(string what) => new($"llama.cpp has no tokenizer {what}", "use --format fp16");
}
