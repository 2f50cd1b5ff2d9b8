using System.Text.Json.Nodes;
using Qbb.Checkpoints;

namespace Qbb.Models.Tokenizers;

/// <summary>
/// The tokenizer inside a GGUF file, as a tokenizer.json: byte-level BPE (tokenizer.ggml.model "gpt2") and SentencePiece BPE ("llama").
/// Gives the ids that llama.cpp gives with special tokens recognised.
/// </summary>
public static class GgufTokenizer
{
    /// <summary>Makes a tokenizer of the metadata of a GGUF file.</summary>
    /// <param name="metadata">The keys tokenizer.ggml.*: strings, bool, ulong or long, string[], float[], int[].</param>
    /// <param name="source">The file's name, for messages.</param>
    /// <exception cref="InvalidInputException">A key is missing or malformed, or the kind of tokenizer is not known.</exception>
    public static Tokenizer Load(IReadOnlyDictionary<string, object> metadata, string source) =>
        Tokenizer.FromJson(ToTokenizerJson(metadata, source), source);

    /// <summary>The tokenizer.json that stands for the metadata of a GGUF file.</summary>
    /// <inheritdoc cref="Load"/>
    public static JsonObject ToTokenizerJson(IReadOnlyDictionary<string, object> metadata, string source)
    {
        var vocabulary = new GgufVocabulary(metadata, source);
        return vocabulary.Required<string>("model", "a string") switch
        {
            "gpt2" => ByteLevel(vocabulary),
            "llama" => SentencePiece(vocabulary),
            var model => throw vocabulary.Error("model", $"is \"{model}\": gpt2 and llama (both byte-pair encodings) are supported"),
        };
    }

    private static JsonObject ByteLevel(GgufVocabulary vocabulary)
    {
        var name = vocabulary.Optional<string>("pre", "a string");
        var preTokenizer = GgufPreTokenizers.Find(name ?? "");
        if (preTokenizer is null)
        {
            ModelWarnings.Report($"{vocabulary.Error("pre", string.IsNullOrEmpty(name) ? "is missing" : $"is \"{name}\", which is unknown").Message}: words are "
                + "cut by the default pattern, as llama.cpp does, and may not be those that the model was trained on");
            preTokenizer = GgufPreTokenizers.Find("default")!;
        }
        var merges = vocabulary.Required<string[]>("merges", "an array of strings");
        var model = TokenizerJson.Bpe(VocabularyOf(vocabulary), merges);
        model["ignore_merges"] = preTokenizer.IgnoreMerges;
        return Assemble(
            vocabulary,
            normalizer: null,
            GgufPreTokenizers.ToJson(preTokenizer),
            Template(vocabulary, preTokenizer.AddBeginOfSequence, begin: -1, end: -1),
            TokenizerJson.ByteLevel(useRegex: true),
            model);
    }

    private static JsonObject SentencePiece(GgufVocabulary vocabulary)
    {
        var addsSpace = vocabulary.Flag("add_space_prefix", true);
        var model = TokenizerJson.Bpe(VocabularyOf(vocabulary), SentencePieceMerges.Of(vocabulary));
        model["unk_token"] = vocabulary.Id("unknown_token_id", 0) is { } unknown ? vocabulary.Tokens[unknown] : null;
        model["fuse_unk"] = true;
        model["byte_fallback"] = vocabulary.Types.Contains(GgufTokenType.Byte);
        var marks = TokenizerJson.Replace(" ", "\u2581");
        var prefix = new JsonObject { ["type"] = "Prepend", ["prepend"] = "\u2581" };
        var strip = new JsonObject { ["type"] = "Strip", ["content"] = " ", ["start"] = 1, ["stop"] = 0 };
        JsonObject[] decoders = [TokenizerJson.Replace("\u2581", " "), new() { ["type"] = "ByteFallback" }, new() { ["type"] = "Fuse" }];
        return Assemble(
            vocabulary,
            TokenizerJson.Sequence("normalizers", addsSpace ? [prefix, marks] : [marks]),
            preTokenizer: null,
            Template(vocabulary, addsBegin: true, begin: 1, end: 2),
            TokenizerJson.Sequence("decoders", addsSpace ? [.. decoders, strip] : decoders),
            model);
    }

    private static JsonObject Assemble(
        GgufVocabulary vocabulary,
        JsonObject? normalizer,
        JsonObject? preTokenizer,
        JsonObject? postProcessor,
        JsonObject decoder,
        JsonObject model) => new()
        {
            ["version"] = "1.0",
            ["truncation"] = null,
            ["padding"] = null,
            ["added_tokens"] = AddedTokens(vocabulary),
            ["normalizer"] = normalizer,
            ["pre_tokenizer"] = preTokenizer,
            ["post_processor"] = postProcessor,
            ["decoder"] = decoder,
            ["model"] = model,
        };

    private static JsonObject VocabularyOf(GgufVocabulary vocabulary) =>
        new(vocabulary.Tokens.Select((token, id) => KeyValuePair.Create(token, (JsonNode?)id)));

    private static JsonObject? Template(GgufVocabulary vocabulary, bool addsBegin, int begin, int end)
    {
        return TokenizerJson.Template(
            vocabulary.Flag("add_bos_token", addsBegin) ? Find("bos_token_id", begin, "add_bos_token") : null,
            vocabulary.Flag("add_eos_token", false) ? Find("eos_token_id", end, "add_eos_token") : null);

        (int, string) Find(string key, int otherwise, string flag) => vocabulary.Id(key, otherwise) is { } id
            ? (id, vocabulary.Tokens[id])
            : throw vocabulary.Error(key, $"is missing, though the tokenizer is to add that token ({flag})");
    }

    private static JsonArray AddedTokens(GgufVocabulary vocabulary)
    {
        // Phi-3's tokenizer takes the white space after its special tokens; GGUF has no key for that.
        var isPhi3 = vocabulary.ModelName.Contains("phi-3", StringComparison.OrdinalIgnoreCase)
            || vocabulary.ModelName.Contains("phi3", StringComparison.OrdinalIgnoreCase);
        var result = new JsonArray();
        for (var id = 0; id < vocabulary.Tokens.Count; id++)
        {
            var type = vocabulary.Types[id];
            if (type is not (GgufTokenType.Unknown or GgufTokenType.Control or GgufTokenType.UserDefined))
                continue;
            var token = TokenizerJson.AddedToken(id, vocabulary.Tokens[id], special: type != GgufTokenType.UserDefined);
            token["rstrip"] = isPhi3 && vocabulary.Tokens[id] is not ("<unk>" or "<s>" or "<|endoftext|>");
            result.Add((JsonNode)token);
        }
        return result;
    }
}
