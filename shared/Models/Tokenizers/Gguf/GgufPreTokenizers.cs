using System.Text.Json.Nodes;

namespace Qbb.Models.Tokenizers;

/// <summary>
/// The pre-tokenizers that GGUF names in tokenizer.ggml.pre, as pipelines of tokenizer.json. GGUF has only the name; which regular expression
/// belongs to it is llama.cpp's table (llama-vocab.cpp), and the expression is the one in the tokenizer.json of the models that it stands for.
/// </summary>
internal static class GgufPreTokenizers
{
    private const string Contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
    private const string Lines = @"|\s*[\r\n]+|\s+(?!\S)|\s+";
    private const string Marks = @"| ?[^\s\p{L}\p{N}]+[\r\n]*";
    private const string Upper = @"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]";
    private const string Lower = @"[\p{Ll}\p{Lm}\p{Lo}\p{M}]";
    private const string Word = @"[^\r\n\p{L}\p{N}]?\p{L}+";
    private const string CasedWord = @"[^\r\n\p{L}\p{N}]?" + Upper + "*" + Lower + "+";
    private const string UpperWord = @"[^\r\n\p{L}\p{N}]?" + Upper + "+" + Lower + "*";

    private const string Llama3 = Contractions + "|" + Word + @"|\p{N}{1,3}" + Marks + Lines;
    private const string Qwen2 = Contractions + "|" + Word + @"|\p{N}" + Marks + Lines;
    private const string Qwen35 = Contractions + @"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*" + Lines;
    private const string Tekken = CasedWord + "|" + UpperWord + @"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + Lines;
    private const string Gpt4O = CasedWord + Contractions + "?|" + UpperWord + Contractions + @"?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + Lines;
    private const string SeedCoder = Contractions + @"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+";
    private const string BailingMoe =
        @"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+";

    private const string Bloom = " ?[^(\\s|.,!?\u2026\u3002\uFF0C\u3001\u0964\u06D4\u060C)]+";
    private const string Cjk = "[\u4E00-\u9FA5\u0800-\u4E00\uAC00-\uD7FF]+";
    private const string DeepSeek3Cjk = "[\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+";
    private const string YoutuCjk =
        "[\uAC00-\uD7A3\u3131-\u318E]+|[\uFF01\u2026\u201C\u201D\u2018\u2019\u2014\uFF1A\uFF1B\uFF0C\u3001-\u303F\uFE30-\uFE4F]+|[\u3105-\u312F]+|[\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+";
    private const string Asian =
        "[\u4E00-\u9FFF\u3400-\u4DBF\uF900-\uFAFF\u3040-\u309F\u30A0-\u30FF\uFF65-\uFF9F\u2F00-\u2FDF\u0E40-\u0E7F\u0E80-\u0EFF\u1780-\u17FF\u1000-\u109F\uAA60-\uAA7F\uA9E0-\uA9FF\uAC00-\uD7AF\u1100-\u11FF]+";

    /// <summary>Words without Han, runs of which are words by themselves.</summary>
    private const string Kimi = @"\p{Han}+|[^\r\n\p{L}\p{N}]?(?:(?!\p{Han})" + Upper + @")*(?:(?!\p{Han})" + Lower + ")+" + Contractions
        + @"?|[^\r\n\p{L}\p{N}]?(?:(?!\p{Han})" + Upper + @")+(?:(?!\p{Han})" + Lower + ")*" + Contractions + @"?|\p{N}{1,3}" + Marks + Lines;
    private const string ExaoneMoe = Contractions
        + @"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+";
    private const string DeepSeek3 =
        @"[!""#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*" + Lines;

    /// <summary>Letters with case, as the model's authors wrote them down.</summary>
    private const string DeepSeekLetters =
        "\\s?["
        + "A-Za-z\u00B5\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u01BA\u01BC-\u01BF\u01C4-\u0293\u0295-\u02AF\u0370-\u0373"
        + "\u0376-\u0377\u037B-\u037D\u037F\u0386\u0388-\u038A\u038C\u038E-\u03A1\u03A3-\u03F5\u03F7-\u0481\u048A-\u052F"
        + "\u0531-\u0556\u10A0-\u10C5\u13A0-\u13F5\u13F8-\u13FD\u1C90-\u1CBA\u1CBD-\u1CBF\u1D00-\u1D2B\u1D6B-\u1D77"
        + "\u1D79-\u1D9A\u1E00-\u1F15\u1F18-\u1F1D\u1F20-\u1F45\u1F48-\u1F4D\u1F50-\u1F57\u1F59\u1F5B\u1F5D\u1F5F-\u1F7D"
        + "\u1F80-\u1FB4\u1FB6-\u1FBC\u1FBE\u1FC2-\u1FC4\u1FC6-\u1FCC\u1FD0-\u1FD3\u1FD6-\u1FDB\u1FE0-\u1FEC\u1FF2-\u1FF4"
        + "\u1FF6-\u1FFC\u2102\u2107\u210A-\u2113\u2115\u2119-\u211D\u2124\u2126\u2128\u212A-\u212D\u212F-\u2134\u2139"
        + "\u213C-\u213F\u2145-\u2149\u214E\u2183-\u2184\u2C00-\u2C7B\u2C7E-\u2CE4\u2CEB-\u2CEE\u2CF2-\u2CF3\uA640-\uA66D"
        + "\uA680-\uA69B\uA722-\uA76F\uA771-\uA787\uA78B-\uA78E\uAB70-\uABBF\uFB00-\uFB06\uFB13-\uFB17\uFF21-\uFF3A"
        + "\uFF41-\uFF5A\U00010400-\U0001044F\U000104B0-\U000104D3\U000104D8-\U000104FB\U00010C80-\U00010CB2"
        + "\U00010CC0-\U00010CF2\U000118A0-\U000118DF\U0001E900-\U0001E943"
        + "]+";

    private const string DeepSeekMarks = "\\s?[!-/:-~\uFF01-\uFF0F\uFF1A-\uFF5E\u2018-\u201F\u3000-\u3002]+";

    private static readonly GgufPreTokenizer Gpt2 = new([], UseRegex: true);

    private static readonly Dictionary<string, GgufPreTokenizer> ByName = new()
    {
        ["default"] = new([@"[\p{P}\$\+<=>\^~\|]+", ByteLevelPreTokenizer.WordPattern, @"\p{N}+", "[0-9][0-9][0-9]"]),
        ["llama-bpe"] = new([Llama3], IgnoreMerges: true, AddBeginOfSequence: true),
        ["gpt-2"] = Gpt2,
        ["qwen2"] = new([Qwen2]),
        ["qwen35"] = new([Qwen35]),
        ["smollm"] = new([@"\p{N}"], UseRegex: true),
        ["deepseek-llm"] = new(["[\r\n]", DeepSeekLetters, DeepSeekMarks, @"\s+$", Cjk, @"\p{N}+"]),
        ["deepseek-coder"] = new(["[\r\n]", @"\s?\p{L}+", @"\s?\p{P}+", Cjk, @"\p{N}"]),
        ["deepseek-v3"] = new([@"\p{N}{1,3}", DeepSeek3Cjk, DeepSeek3]),
        ["falcon"] = new([@"[\p{P}\$\+<=>\^~\|`]+", ByteLevelPreTokenizer.WordPattern, "[0-9][0-9][0-9]"]),
        ["dbrx"] = new([Llama3]),
        ["tekken"] = new([Tekken], IgnoreMerges: true, AddBeginOfSequence: true),
        ["gpt-4o"] = new([Gpt4O]),
        ["bloom"] = new([Bloom]),
        ["viking"] = new([Bloom, @"\p{N}"]),
        ["bailingmoe"] = new([BailingMoe]),
        ["seed-coder"] = new([SeedCoder]),
        ["ufakzeka"] = new([Word + @"|\p{N}" + Marks + Lines]),
        ["tiny_aya"] = new([@"\d{1,3}(?=(?:\d{3})*\b)", Gpt4O]),
        ["superbpe"] = new([@"\p{N}+", @"(?=(\d{3})+(?!\d))"]),
        ["exaone-moe"] = new([ExaoneMoe]),
        ["youtu"] = new([YoutuCjk, CasedWord + Contractions + "?|" + UpperWord + Contractions + @"?|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + Lines], IgnoreMerges: true),
        ["kimi-k2"] = new([Kimi]),
        ["afmoe"] = new([@"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))", Asian, DeepSeek3]),
        ["laguna"] = new([@"[^\n]+|[\n]+", Qwen2]),
        ["chameleon"] = new(
            ["<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", @"([\t\n]|    |  )", @"\p{N}", @"[\p{P}!-/:-@\[-`{-~]"],
            UseRegex: true, AddBeginOfSequence: true),
    };

    /// <summary>Names with the pre-tokenizer of another.</summary>
    private static readonly Dictionary<string, string[]> Aliases = new()
    {
        ["llama-bpe"] = ["llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"],
        ["gpt-2"] = ["phi-2", "gigachat", "a.x-4.0", "mellum", "mpt", "olmo", "jais", "trillion", "granite-docling", "exaone4", "jina-es", "jina-de", "jina-v2-es",
            "jina-v2-de", "modern-bert"],
        ["qwen2"] = ["deepseek-r1-qwen", "kormo", "f2llmv2", "stablelm2", "hunyuan", "megrez", "grok-2", "solar-open"],
        ["smollm"] = ["starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"],
        ["deepseek-v3"] = ["hunyuan-dense", "joyai-llm", "hy_v4"],
        ["dbrx"] = ["smaug-bpe", "glm4", "chatglm-bpe"],
        ["gpt-4o"] = ["llama4", "kanana2", "talkie", "minimax-m2"],
        ["bloom"] = ["poro-chat", "gpt3-finnish"],
        ["tiny_aya"] = ["cohere2moe"],
        ["bailingmoe"] = ["bailingmoe2", "llada-moe"],
    };

    private static readonly Dictionary<string, string> AliasOf = Aliases
        .SelectMany(pair => pair.Value.Select(alias => (Alias: alias, Name: pair.Key)))
        .ToDictionary(pair => pair.Alias, pair => pair.Name);

    /// <summary>All names, for messages and tests.</summary>
    public static IEnumerable<string> Names => ByName.Keys.Concat(AliasOf.Keys).Order(StringComparer.Ordinal);

    /// <summary>Whether a name has the pre-tokenizer of another.</summary>
    public static bool IsAlias(string name) => AliasOf.ContainsKey(name);

    public static GgufPreTokenizer? Find(string name) => ByName.GetValueOrDefault(AliasOf.GetValueOrDefault(name, name));

    /// <summary>The "pre_tokenizer" of tokenizer.json.</summary>
    public static JsonObject ToJson(GgufPreTokenizer preTokenizer)
    {
        var items = preTokenizer.Patterns.Select(JsonNode (pattern) => TokenizerJson.Split(pattern)).ToList();
        var byteLevel = TokenizerJson.ByteLevel(preTokenizer.UseRegex);
        return items.Count == 0 ? byteLevel : TokenizerJson.Sequence("pretokenizers", [.. items, byteLevel]);
    }
}
