using System.Text;
using System.Text.Json.Nodes;
using Qbb.Models.Tokenizers;

namespace Qbb.Models.Tests.Tokenizers;

/// <summary>
/// Random valid tokenizers of every kind, and texts that their parts treat differently. What often makes the library `tokenizers` abort is left
/// out: replacements of patterns that match the empty text, repetitions within repetitions, and Strip decoders that take from the end.
/// </summary>
internal sealed class RandomTokenizerJson(Random random)
{
    private static readonly string[] Regexes =
    [
        @"\w+", @"\W", @"[\w]+", @"\s+", @"\S+", @"\p{L}+", @"\p{N}{1,3}", @"[[:punct:]]", @"[[:punct:]]+|\s", @"[[:alpha:]]+",
        @"[[:^alpha:]]", @"[[:alnum:]_]+",
        @"[[:upper:]]", @"[[:lower:]]+", @"[[:word:]]+", @"[[:space:]]", @"[[:graph:]]+", @"\p{Punct}", @"\p{Greek}+", @"\p{Cyrillic}+",
        @"\p{Katakana}",
        @"\p{Hiragana}+", @"\p{Hangul}", @"\p{Arab}+", @"\p{Latin}+", @"\p{Common}", @"[\p{Thai}\p{Deva}]+", @"\p{^Latin}", @"\P{Han}+",
        @"\p{Alphabetic}+",
        @"\b\w", @"\w\b", @"\B.", @"(?i:'s|'t|k|s)", @"(?i)[a-c]+", @"(?i)\p{Lu}", @"[\w&&[^\d]]+", @"[^\W\d_]+", @"\h+", @"\R",
        @"(?<=a)b|\d", @"a(?!b)", @"(?>a+)b?",
        @"[^\r\n\p{L}\p{N}]?\p{L}+", @".+?b", @"^.", @".$", @"(?:ab|c)+", @"\p{M}+", @"[\p{P}\p{S}]+", @"\p{Lu}\p{Ll}*", @"\p{No}x?",
        @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        @"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s+",
    ];

    private static readonly string[] Pieces =
    [
        "a", "b", "c", "ab", "abc", "Hello", "world", "The", "don't", "I'LL", "x's", "K\u212A", "ſ", "naïve", "café", "e\u0301", "ǆ", "Ǆ",
        "ß", "İ", "ı", "Σς", "ﬁ", "Å", "1", "23", "4567", "²", "³", "¹", "½",
        "¼x", "Ⅷ", "①", "Ⓐⓑ", "٣", "𝟘", " ", "  ", "\t", "\n", "\r\n", "\u00A0", "\u3000", "\u2003", "\u0085", "\u2028", ".", ",", "!",
        "?!", "'", "\"", "$", "+", "<=>", "^", "`", "|~", "_", "-", "—", "…", "«", "。", "、", "！",
        "§", "©", "₿", "\u061D", "\u166D", "\U000111C9", "\u200D", "\u200C", "a\u200Db", "\uFEFF", "\u00AD", "\u200B", "\u0903", "\u20DD",
        "\u0301", "\u0345", "\u1CF2", "\u3099", "か\u3099", "क\u094D\u200Dष", "\u0000", "\u0001", "\u007F", "\u009F", "\uFFFD",
        "中文", "日本語", "漢", "々", "カタカナ", "ﾊﾟ", "ひらがな", "ー", "한국", "\u1112\u1161\u11AB", "ไทย", "हिन्दी", "العربية", "עברית", "Ελληνικά",
        "русский", "ქართული", "Ａｂ１", "㍿", "㋿", "ꟲ", "\U0001FBF7", "\u32FF", "\u1E9B\u0323",
        "🙂", "👩‍👩‍👧", "🏽", "🇩🇪", "𝔘𝔫𝔦", "𐐀", "\U00016EA0", "\uA7CE", "\uE000", "\u0378", "\U000E0001", "\U0010FFFF", "▁", "▁a", "Ġ", "##a",
        "</w>", "<0x41>", "do not", " n't", " ' ", "<s>", "</s>", "<unk>", "[SEP]", "[MASK]", "foo", "tok",
    ];

    /// <summary>What tables of SentencePiece rewrite, among it a sequence whose first character has a rule of its own.</summary>
    private static readonly (string From, string To)[] Rules =
    [
        ("ﬁ", "fi"), ("Å", "A"), ("e\u0301", "é"), ("\u3000", " "), ("\t", " "), ("\n", " "), ("\u200B", ""), ("か\u3099", "が"),
        ("か", "ka"), ("½", "1/2"), ("㍿", "株式会社"),
        ("Ａ", "A"), ("İ", "i\u0307"), ("\u0301", ""), ("𝔘", "U"), ("ß", "ss"), ("k", "K"),
    ];

    /// <summary>The texts of added tokens, some of which a normalizer changes.</summary>
    private static readonly string[] Added = ["<s>", "</s>", "[SEP]", "[MASK]", "foo", "tok", "日本", "é", "  ", "\n", "▁a", "a", "<|x|>", "Σ", "²"];

    /// <summary>True where an added token is sought in a normalized form other than its text: releases of the library decode it differently.</summary>
    public bool HasRewrittenToken { get; private set; }

    public string Text()
    {
        var result = new StringBuilder();
        for (var count = random.Next(12); count > 0; count--)
            result.Append(Pick(Pieces)).Append(random.Next(4) == 0 ? " " : "");
        return result.ToString();
    }

    public JsonObject Tokenizer()
    {
        HasRewrittenToken = false;
        var kind = random.Next(5);
        var (model, vocabulary) = kind switch
        {
            0 => WordPiece(),
            1 => Unigram(),
            _ => Bpe(byteLevel: kind == 2),
        };
        var normalizer = Maybe(Normalizer);
        var added = AddedTokens(vocabulary, normalizer);
        var preTokenizer = kind == 2 ? ByteLevelPreTokenizer() : kind == 0 && Chance(2) ? Of("BertPreTokenizer") : Maybe(PreTokenizer);
        return new JsonObject
        {
            ["version"] = "1.0",
            ["truncation"] = null,
            ["padding"] = null,
            ["added_tokens"] = added,
            ["normalizer"] = normalizer,
            ["pre_tokenizer"] = preTokenizer,
            ["post_processor"] = Maybe(PostProcessor),
            ["decoder"] = kind == 2 && Chance(2) ? ByteLevel() : Maybe(Decoder),
            ["model"] = model,
        };
    }

    private (JsonObject Model, List<string> Vocabulary) Bpe(bool byteLevel)
    {
        var tokens = new List<string>();
        if (byteLevel)
            tokens.AddRange(Enumerable.Range(0, 256).Select(value => ByteAlphabet.CharacterOf((byte)value).ToString()));
        else
            tokens.AddRange(Letters().Where(_ => !Chance(8)));
        var suffix = !byteLevel && Chance(6) ? "</w>" : null;
        if (suffix != null)
            tokens.AddRange(tokens.ToList().Select(token => token + suffix));
        var merges = new JsonArray();
        for (var count = random.Next(60); count > 0; count--)
        {
            var (left, right) = (Pick(tokens), Pick(tokens));
            if (suffix != null && left.EndsWith(suffix, StringComparison.Ordinal))
                continue;
            if (tokens.Contains(left + right) || left.Contains(' ') || right.Contains(' '))
                continue;
            tokens.Add(left + right);
            merges.Add(Chance(2) ? JsonValue.Create($"{left} {right}") : new JsonArray(left, right));
        }
        var unknown = Chance(2) ? "<unk>" : null;
        if (unknown != null)
            tokens.Add(unknown);
        var fallback = !byteLevel && Chance(2);
        if (fallback)
            tokens.AddRange(Enumerable.Range(0, 256).Select(value => $"<0x{value:X2}>"));
        for (var i = merges.Count - 1; i >= 0; i--)
            if ((merges[i] is JsonArray) != (merges[0] is JsonArray))
                merges.RemoveAt(i);
        var vocabulary = new JsonObject(tokens.Select((token, id) => KeyValuePair.Create(token, (JsonNode?)id)));
        var model = new JsonObject
        {
            ["type"] = "BPE",
            ["dropout"] = null,
            ["unk_token"] = unknown,
            ["continuing_subword_prefix"] = null,
            ["end_of_word_suffix"] = suffix,
            ["fuse_unk"] = Chance(2),
            ["byte_fallback"] = fallback,
            ["ignore_merges"] = Chance(3),
            ["vocab"] = vocabulary,
            ["merges"] = merges,
        };
        return (model, tokens);
    }

    private (JsonObject Model, List<string> Vocabulary) WordPiece()
    {
        List<string> tokens = ["[UNK]", .. Letters().Where(_ => !Chance(6)), .. Letters().Where(_ => !Chance(6)).Select(letter => "##" + letter)];
        for (var count = random.Next(60); count > 0; count--)
        {
            var token = (Chance(2) ? "##" : "") + Piece();
            if (!tokens.Contains(token) && token is not ("" or "##"))
                tokens.Add(token);
        }
        return (new JsonObject
        {
            ["type"] = "WordPiece",
            ["unk_token"] = "[UNK]",
            ["continuing_subword_prefix"] = "##",
            ["max_input_chars_per_word"] = Chance(3) ? random.Next(1, 8) : 100,
            ["vocab"] = new JsonObject(tokens.Select((token, id) => KeyValuePair.Create(token, (JsonNode?)id))),
        }, tokens);
    }

    private (JsonObject Model, List<string> Vocabulary) Unigram()
    {
        var fallback = Chance(2);
        List<string> tokens = ["<unk>"];
        if (fallback)
            tokens.AddRange(Enumerable.Range(0, 256).Select(value => $"<0x{value:X2}>"));
        tokens.AddRange(Letters().Where(_ => !Chance(6)));
        for (var count = random.Next(80); count > 0; count--)
        {
            var token = Chance(2) ? "▁" + Piece() : Piece() + Piece();
            if (!tokens.Contains(token))
                tokens.Add(token);
        }
        var coarse = Chance(2);
        var scores = tokens.Select((_, id) => id == 0 ? 0 : -Math.Round(random.NextDouble() * 12, coarse ? 0 : 5));
        var vocabulary = tokens.Zip(scores, (token, score) => (JsonNode)new JsonArray(token, score));
        return (new JsonObject
        {
            ["type"] = "Unigram",
            ["unk_id"] = 0,
            ["vocab"] = new JsonArray([.. vocabulary]),
            ["byte_fallback"] = fallback,
        }, tokens);
    }

    private JsonArray AddedTokens(List<string> vocabulary, JsonNode? normalizer)
    {
        var result = new JsonArray();
        var next = vocabulary.Count;
        var rewriter = normalizer == null ? null : NormalizerLoader.Load(TokenizerJsonText.Field(normalizer.ToJsonString()));
        foreach (var content in Added.Where(_ => Chance(3)))
        {
            var id = vocabulary.IndexOf(content);
            var normalized = Chance(3);
            var sought = normalized && rewriter != null ? rewriter.Normalize(content) : content;
            if (sought.Length == 0)
                normalized = false;
            HasRewrittenToken |= normalized && sought != content;
            result.Add(new JsonObject
            {
                ["id"] = id >= 0 ? id : next++,
                ["content"] = content,
                ["single_word"] = Chance(4),
                ["lstrip"] = Chance(4),
                ["rstrip"] = Chance(4),
                ["normalized"] = normalized,
                ["special"] = Chance(2),
            });
        }
        return result;
    }

    private JsonObject Normalizer() => random.Next(15) switch
    {
        0 => Of("NFC"),
        1 => Of("NFD"),
        2 => Of("NFKC"),
        3 => Of("NFKD"),
        4 => Of("Lowercase"),
        5 => Of("StripAccents"),
        6 => Of("Nmt"),
        7 => Of("Strip", ("strip_left", Chance(2)), ("strip_right", Chance(2))),
        8 => Of("Prepend", ("prepend", Pick(["▁", "_", "ab"]))),
        9 => Of("Replace", ("pattern", new JsonObject { ["String"] = Pick([" ", "a", "ab", "'", "\n"]) }), ("content", Pick(["▁", "", "xy", "a"]))),
        10 => Of("Replace", ("pattern", new JsonObject { ["Regex"] = Regex(mayBeEmpty: false) }), ("content", Pick(["▁", "", "xy", " "]))),
        11 => Of("Precompiled", ("precompiled_charsmap", CharacterMap())),
        12 => Of(
            "BertNormalizer",
            ("clean_text", Chance(2)),
            ("handle_chinese_chars", Chance(2)),
            ("strip_accents", Chance(3) ? null : JsonValue.Create(Chance(2))),
            ("lowercase", Chance(2))),
        _ => Of("Sequence", ("normalizers", new JsonArray([.. Enumerable.Range(0, random.Next(4)).Select(_ => Normalizer())]))),
    };

    private JsonObject PreTokenizer() => random.Next(13) switch
    {
        0 => Of("Whitespace"),
        1 => Of("WhitespaceSplit"),
        2 => Of("BertPreTokenizer"),
        3 => Of("Punctuation", ("behavior", Behavior())),
        4 => Of("Digits", ("individual_digits", Chance(2))),
        5 => Of("CharDelimiterSplit", ("delimiter", Pick(["a", " ", "▁", "中"]))),
        6 => Of("FixedLength", ("length", random.Next(1, 6))),
        7 or 8 => Of("Metaspace", ("replacement", Pick(["▁", "_"])), ("prepend_scheme", Pick(["always", "first", "never"])), ("split", Chance(2))),
        9 => Split(),
        10 => ByteLevel(),
        _ => Of("Sequence", ("pretokenizers", new JsonArray([.. Enumerable.Range(0, random.Next(4)).Select(_ => PreTokenizer())]))),
    };

    private JsonObject ByteLevelPreTokenizer() => Chance(2)
        ? ByteLevel()
        : Of("Sequence", ("pretokenizers", new JsonArray([.. Enumerable.Range(0, random.Next(3)).Select(_ => PreTokenizer()), ByteLevel()])));

    private JsonObject ByteLevel() => Of("ByteLevel", ("add_prefix_space", Chance(2)), ("trim_offsets", Chance(2)), ("use_regex", Chance(2)));

    private JsonObject Split() => Of(
        "Split",
        ("pattern", Chance(4) ? new JsonObject { ["String"] = Pick([" ", "a", "ab", "."]) } : new JsonObject { ["Regex"] = Regex(mayBeEmpty: true) }),
        ("behavior", Behavior()),
        ("invert", Chance(2)));

    private string Regex(bool mayBeEmpty)
    {
        if (Chance(2))
            return Pick(Regexes);
        while (true)
        {
            var (regex, isNullable, _) = Choice(depth: 0);
            if (mayBeEmpty || !isNullable)
                return regex;
        }
    }

    /// <summary>A part of a regular expression, whether it may match the empty text, and whether it repeats something.</summary>
    private (string Text, bool IsNullable, bool Repeats) Choice(int depth)
    {
        var items = Enumerable.Range(0, random.Next(1, 4)).Select(_ => Sequence(depth)).ToList();
        return (string.Join('|', items.Select(item => item.Text)), items.Any(item => item.IsNullable), items.Any(item => item.Repeats));
    }

    private (string Text, bool IsNullable, bool Repeats) Sequence(int depth)
    {
        var items = Enumerable.Range(0, random.Next(1, 4)).Select(_ => Quantified(depth)).ToList();
        return (string.Concat(items.Select(item => item.Text)), items.All(item => item.IsNullable), items.Any(item => item.Repeats));
    }

    private (string Text, bool IsNullable, bool Repeats) Quantified(int depth)
    {
        (string Text, bool IsNullable, bool Repeats) item = (Atom(), false, false);
        if (depth < 2 && Chance(4) && Choice(depth + 1) is var group)
            item = group with { Text = $"{Pick(["(", "(?:", "(?>", "(?i:", "(?m:"])}{group.Text})" };
        if (Chance(8))
            return (Pick(["(?=", "(?!"]) + item.Text + ")", true, item.Repeats);
        if (Chance(10))
            return (Pick(["^", "$", @"\b", @"\B", @"\A", @"\z", "(?<=a)", @"(?<!\s)", @"(?<=[bc]\w)"]), true, false);
        if (item.IsNullable || Chance(2))
            return item;
        if (item.Repeats)
            return Chance(2) ? (item.Text + "?", true, true) : (item.Text + "{1,2}", false, true);
        var quantifier = Pick(["+", "+?", "++", "{2}", "{1,3}", "{1,}", "{1,2}?", "*", "*?", "?", "??", "{,2}"]);
        return (item.Text + quantifier, quantifier[0] is '*' or '?' || quantifier[1..].StartsWith(','), true);
    }

    private string Atom() => Chance(2)
        ? Pick(Atoms)
        : $"[{(Chance(3) ? "^" : "")}{string.Concat(Enumerable.Range(0, random.Next(1, 4)).Select(_ => Pick(Members)))}{(Chance(6) ? @"&&[^\d\p{Lu}]" : "")}]";

    private static readonly string[] Atoms =
    [
        "a", "b", "c", " ", ".", "'", @"\w", @"\W", @"\s", @"\S", @"\d", @"\D", @"\p{L}", @"\p{Lu}", @"\p{Ll}", @"\p{M}", @"\p{N}", @"\p{Han}",
        @"\p{^Latin}", "é", "中", "🙂", @"\R", @"\h",
    ];

    private static readonly string[] Members =
    [
        "a", "b-d", "x", "0-9", "A-Z", @"\s", @"\S", @"\w", @"\W", @"\d", @"\p{L}", @"\P{L}", @"\p{P}", @"\p{Cyrillic}", "[:alpha:]",
        "[:punct:]", "[:^space:]", "[:upper:]", "é", "α-ω", "一-龥", "[bc]", @"\r\n", "'", "🙂",
    ];

    private string Behavior() => Pick(["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]);

    private JsonObject PostProcessor() => random.Next(4) switch
    {
        0 => Of("BertProcessing", ("sep", new JsonArray("b", 1)), ("cls", new JsonArray("c", 2))),
        1 => Of(
            "RobertaProcessing",
            ("sep", new JsonArray("b", 1)),
            ("cls", new JsonArray("c", 2)),
            ("trim_offsets", true),
            ("add_prefix_space", Chance(2))),
        2 => ByteLevel(),
        _ => Of("Sequence", ("processors", new JsonArray(ByteLevel(), TokenizerJson.Template((1, "b"), Chance(2) ? (2, "c") : null)))),
    };

    private JsonObject Decoder() => random.Next(11) switch
    {
        0 => ByteLevel(),
        1 => Of("ByteFallback"),
        2 => Of("Fuse"),
        3 => Of("WordPiece", ("prefix", "##"), ("cleanup", Chance(2))),
        4 => Of("Metaspace", ("replacement", Pick(["▁", "_"])), ("prepend_scheme", Pick(["always", "first", "never"])), ("split", Chance(2))),
        5 => Of("BPEDecoder", ("suffix", "</w>")),
        6 => Of("CTC", ("pad_token", "a"), ("word_delimiter_token", "▁"), ("cleanup", Chance(2))),
        7 => Of("Strip", ("content", Pick([" ", "a", "▁"])), ("start", random.Next(3)), ("stop", 0)),
        8 => Of(
            "Replace",
            ("pattern", Chance(2) ? new JsonObject { ["String"] = "▁" } : new JsonObject { ["Regex"] = Regex(mayBeEmpty: false) }),
            ("content", Pick([" ", "", "xy"]))),
        _ => Of("Sequence", ("decoders", new JsonArray([.. Enumerable.Range(0, random.Next(4)).Select(_ => Decoder())]))),
    };

    private static IEnumerable<string> Letters() => "abcdehlmnoprstwxyzABHTK0123456789 .,!?'▁_#é中日本語αбк".EnumerateRunes().Select(rune => rune.ToString());

    private string Piece() => Pick(
        ["a", "b", "ab", "abc", "He", "llo", "ello", "wor", "ld", "Th", "e", "do", "n't", "'", "s", "12", "日", "本", "é", "ca", "f", "..", "m", "▁", "!"]);

    private JsonNode? Maybe(Func<JsonNode> make) => Chance(4) ? null : make();

    private bool Chance(int oneIn) => random.Next(oneIn) == 0;

    private T Pick<T>(IReadOnlyList<T> items) => items[random.Next(items.Count)];

    /// <summary>A table of some rules.</summary>
    public string CharacterMap() => CharacterMap(Rules.Where(_ => !Chance(4)).ToList());

    /// <summary>SentencePiece's "precompiled_charsmap": a double-array trie with a block of 256 units for every node, then the replacements.</summary>
    public static string CharacterMap(IReadOnlyList<(string From, string To)> rules)
    {
        var nodes = new List<Dictionary<byte, int>> { new() };
        var values = new Dictionary<int, int>();
        var replacements = new MemoryStream();
        foreach (var (from, to) in rules)
        {
            var node = 0;
            foreach (var value in Encoding.UTF8.GetBytes(from))
            {
                if (!nodes[node].TryGetValue(value, out var child))
                {
                    nodes[node].Add(value, child = nodes.Count);
                    nodes.Add([]);
                }
                node = child;
            }
            values[node] = (int)replacements.Length;
            replacements.Write(Encoding.UTF8.GetBytes(to + "\0"));
        }
        // The children of node n lie at block n + 1, each at its label; a unit has its label, whether a value follows, and the way to its block.
        var units = new uint[256 * (nodes.Count + 1)];
        Place(0, 0, 0);
        return Convert.ToBase64String([.. BitConverter.GetBytes(4 * units.Length), .. units.SelectMany(BitConverter.GetBytes), .. replacements.ToArray()]);

        void Place(int node, int position, byte label)
        {
            var block = 256 * (node + 1);
            units[position] = label | (values.ContainsKey(node) ? 1u << 8 : 0) | (uint)(position ^ block) << 10;
            if (values.TryGetValue(node, out var value))
                units[block] = (uint)value | 1u << 31;
            foreach (var (next, child) in nodes[node])
                Place(child, block ^ next, next);
        }
    }

    private static JsonObject Of(string type, params ReadOnlySpan<(string Name, JsonNode? Value)> members)
    {
        var result = new JsonObject { ["type"] = type };
        foreach (var (name, value) in members)
            result[name] = value;
        return result;
    }
}
