using System.Text.Json;
using System.Text.Json.Nodes;
using Qbb.Checkpoints;
using Qbb.Models.Tokenizers;
using Qbb.Tests;

namespace Qbb.Models.Tests.Tokenizers;

public sealed class GgufTokenizerTests
{
    public static TheoryData<string> Files => [.. Directory.GetFiles(Reference.Path("gguf"), "*.golden.json").Select(path => Path.GetFileName(path)[..^12])];

    public static TheoryData<string> PreTokenizers => [.. GgufPreTokenizers.Names];

    [Theory]
    [MemberData(nameof(Files))]
    public void Ids_equal_those_of_llama_cpp(string name)
    {
        using var file = GgufFile.Open(Reference.Path("gguf", $"{name}.gguf"));
        var tokenizer = GgufTokenizer.Load(file.Metadata, name);
        using var golden = JsonDocument.Parse(File.ReadAllBytes(Reference.Path("gguf", $"{name}.golden.json")));
        foreach (var item in golden.RootElement.GetProperty("tokens").EnumerateArray())
        {
            var text = item.GetProperty("text").GetString()!;
            var ids = Ids(item, "ids_with_special");
            tokenizer.Encode(text, addSpecialTokens: false).ShouldBe(ids, text);
            var first = Ids(item, "ids_with_bos")[0];
            tokenizer.Encode(text).ShouldBe([first, .. ids], text);
            tokenizer.BeginOfSequence.ShouldBe(first);
        }
    }

    /// <summary>The reference tokenizers, taken apart into what a GGUF file keeps, give their own ids again.</summary>
    [Theory]
    [InlineData("gpt2", "gpt-2")]
    [InlineData("phi2", "phi-2")]
    [InlineData("smollm2", "smollm")]
    [InlineData("llama3", "llama-bpe")]
    [InlineData("qwen2", "qwen2")]
    [InlineData("deepseek-v3", "deepseek-v3")]
    [InlineData("deepseek-coder", "deepseek-coder")]
    [InlineData("tekken", "tekken")]
    public void Names_of_pre_tokenizers_stand_for_the_families_pipelines(string family, string name)
    {
        var tokenizer = GgufTokenizer.Load(TakenApart(family, new() { ["tokenizer.ggml.pre"] = name, ["tokenizer.ggml.add_bos_token"] = false }), family);
        var compose = new UnicodeNormalizer(UnicodeForm.Nfc);
        foreach (var item in Golden(family))
        {
            var text = item.GetProperty("text").GetString()!;
            // GGUF knows no normalization.
            if (family != "qwen2" || compose.Normalize(text) == text)
                tokenizer.Encode(text).ShouldBe(Ids(item, "ids_plain"), text);
        }
    }

    [Theory]
    [InlineData("llama2", true)]
    [InlineData("gemma", false)]
    public void Scores_become_the_merges_that_they_were_made_of(string family, bool addsSpace)
    {
        var tokenizer = GgufTokenizer.Load(TakenApart(family, new() { ["tokenizer.ggml.model"] = "llama", ["tokenizer.ggml.add_space_prefix"] = addsSpace }), family);
        foreach (var item in Golden(family))
        {
            var text = item.GetProperty("text").GetString()!;
            // The family's own merges of runs of spaces follow no score.
            if (family != "llama2" || !text.Contains("  ", StringComparison.Ordinal))
                tokenizer.Encode(text, addSpecialTokens: false).ShouldBe(Ids(item, "ids_plain"), text);
            tokenizer.Decode(Ids(item, "ids")).ShouldBe(item.GetProperty("decoded").GetString());
        }
    }

    [Fact]
    public void Pieces_are_joined_by_the_best_score_and_from_the_left()
    {
        const int seed = 88;
        var random = new Random(seed);
        var metadata = TakenApart("llama2", new() { ["tokenizer.ggml.model"] = "llama" });
        var tokens = (string[])metadata["tokenizer.ggml.tokens"];
        var scores = (float[])metadata["tokenizer.ggml.scores"];
        // As in Llama's own model: runs of spaces have one score, the lowest.
        for (var id = 0; id < tokens.Length; id++)
            if (tokens[id].Length > 1 && tokens[id].All(character => character == '\u2581'))
                scores[id] = -1e9f;
        var tokenizer = GgufTokenizer.Load(metadata, "llama2");
        var words = "the of and a   in to  it is was that  he's \n\t über 日本 1234 😀 what's           and".Split(' ');
        for (var i = 0; i < 200; i++)
        {
            var text = string.Join(' ', Enumerable.Range(0, random.Next(1, 12)).Select(_ => words[random.Next(words.Length)]));
            var expected = text.Length == 0 ? [] : ReferenceSentencePiece.Encode(tokens, scores, "\u2581" + text.Replace(' ', '\u2581'));
            tokenizer.Encode(text, addSpecialTokens: false).ShouldBe(expected, $"seed {seed}: \"{text}\"");
        }
    }

    [Theory]
    [MemberData(nameof(PreTokenizers))]
    public void Every_known_pre_tokenizer_gives_back_the_text(string name)
    {
        const int seed = 31;
        var random = new Random(seed);
        var tokenizer = GgufTokenizer.Load(
            TakenApart("gpt2", new() { ["tokenizer.ggml.pre"] = name, ["tokenizer.ggml.add_bos_token"] = true, ["tokenizer.ggml.bos_token_id"] = 0UL }), name);
        for (var i = 0; i < 20; i++)
        {
            var text = RandomText.Create(random, 60) + "it's 1234 IT'S\n\n  ok ";
            var ids = tokenizer.Encode(text);
            ids[0].ShouldBe(0);
            tokenizer.Decode(ids[1..]).ShouldBe(text, $"seed {seed}, case {i}");
        }
    }

    [Theory]
    [InlineData("unheard-of", "is \"unheard-of\", which is unknown")]
    [InlineData(null, "is missing")]
    public void Without_a_known_name_words_are_cut_by_the_default_pattern(string? name, string warning)
    {
        var metadata = TakenApart("gpt2", []);
        metadata.Remove("tokenizer.ggml.pre");
        if (name is not null)
            metadata["tokenizer.ggml.pre"] = name;
        var warnings = new List<string>();
        using var heard = ModelWarnings.Listen(warnings.Add);
        var tokenizer = GgufTokenizer.Load(metadata, "test.gguf");
        warnings.ShouldHaveSingleItem().ShouldContain($"test.gguf: the metadata \"tokenizer.ggml.pre\" {warning}");
        metadata["tokenizer.ggml.pre"] = "default";
        const string text = "it's 12345 words, 'tis so";
        tokenizer.Encode(text).ShouldBe(GgufTokenizer.Load(metadata, "test.gguf").Encode(text));
    }

    [Theory]
    [InlineData("tokenizer.ggml.model", "bert", "bert")]
    [InlineData("tokenizer.ggml.model", 5UL, "model")]
    [InlineData("tokenizer.ggml.tokens", null, "tokens")]
    [InlineData("tokenizer.ggml.tokens", new[] { "a", "a" }, "twice")]
    [InlineData("tokenizer.ggml.merges", null, "merges")]
    [InlineData("tokenizer.ggml.merges", new[] { "a" }, "merges")]
    [InlineData("tokenizer.ggml.token_type", new[] { 1 }, "token_type")]
    [InlineData("tokenizer.ggml.token_type", "x", "token_type")]
    [InlineData("tokenizer.ggml.bos_token_id", 5000000UL, "5000000")]
    [InlineData("tokenizer.ggml.bos_token_id", null, "bos_token_id")]
    [InlineData("tokenizer.ggml.add_bos_token", "yes", "add_bos_token")]
    public void A_fault_is_named_with_the_file_and_the_key(string key, object? value, string message)
    {
        var metadata = TakenApart("gpt2", new() { ["tokenizer.ggml.add_bos_token"] = true, ["tokenizer.ggml.bos_token_id"] = 0UL });
        if (value == null)
            metadata.Remove(key);
        else
            metadata[key] = value;
        if (key.EndsWith("tokens", StringComparison.Ordinal))
            metadata.Remove("tokenizer.ggml.token_type");
        var error = Should.Throw<InvalidInputException>(() => GgufTokenizer.Load(metadata, "test.gguf"));
        error.Message.ShouldContain("test.gguf");
        error.Message.ShouldContain(message);
    }

    [Fact]
    public void Scores_that_are_missing_or_no_numbers_are_refused()
    {
        var metadata = TakenApart("llama2", new() { ["tokenizer.ggml.model"] = "llama" });
        ((float[])metadata["tokenizer.ggml.scores"])[3] = float.NaN;
        Should.Throw<InvalidInputException>(() => GgufTokenizer.Load(metadata, "test.gguf")).Message.ShouldContain("scores");
        metadata.Remove("tokenizer.ggml.scores");
        Should.Throw<InvalidInputException>(() => GgufTokenizer.Load(metadata, "test.gguf")).Message.ShouldContain("scores");
    }

    [Fact]
    public void Phi3_takes_the_space_after_its_special_tokens()
    {
        var metadata = TakenApart("phi3", new() { ["tokenizer.ggml.model"] = "llama", ["general.name"] = "Phi-3 mini", ["tokenizer.ggml.add_bos_token"] = false });
        var tokenizer = GgufTokenizer.Load(metadata, "phi3");
        foreach (var item in Golden("phi3").Where(item => !item.GetProperty("text").GetString()!.Contains("  ", StringComparison.Ordinal)))
            tokenizer.Encode(item.GetProperty("text").GetString()!).ShouldBe(Ids(item, "ids"), item.GetProperty("text").GetString());
    }

    /// <summary>The metadata that a GGUF file of a reference tokenizer would have.</summary>
    private static Dictionary<string, object> TakenApart(string family, Dictionary<string, object> metadata)
    {
        var json = JsonNode.Parse(File.ReadAllBytes(Reference.Path("tokenizers", family, "tokenizer.json")))!;
        var ids = json["model"]!["vocab"]!.AsObject().ToDictionary(pair => pair.Key, pair => pair.Value!.GetValue<int>());
        var types = ids.Values.ToDictionary(id => id, _ => 1);
        foreach (var added in json["added_tokens"]!.AsArray())
        {
            ids[added!["content"]!.GetValue<string>()] = added["id"]!.GetValue<int>();
            types[added["id"]!.GetValue<int>()] = added["special"]!.GetValue<bool>() ? 3 : 4;
        }
        foreach (var (token, id) in ids)
            if (token.Length == 6 && token.StartsWith("<0x", StringComparison.Ordinal))
                types[id] = 6;
        var tokens = Enumerable.Range(0, ids.Values.Max() + 1).Select(id => $"[unused {id}]").ToArray();
        foreach (var (token, id) in ids)
            tokens[id] = token;
        string[] merges = [.. json["model"]!["merges"]!.AsArray().Select(merge =>
            merge is JsonArray pair ? $"{pair[0]!.GetValue<string>()} {pair[1]!.GetValue<string>()}" : merge!.GetValue<string>())];
        var scores = new float[tokens.Length];
        for (var rank = merges.Length - 1; rank >= 0; rank--)
            scores[ids[merges[rank].Replace(" ", "")]] = -rank;
        metadata.TryAdd("tokenizer.ggml.model", "gpt2");
        metadata["tokenizer.ggml.tokens"] = tokens;
        metadata["tokenizer.ggml.token_type"] = Enumerable.Range(0, tokens.Length).Select(id => types.GetValueOrDefault(id, 5)).ToArray();
        metadata["tokenizer.ggml.merges"] = merges;
        metadata["tokenizer.ggml.scores"] = scores;
        return metadata;
    }

    private static JsonElement[] Golden(string family) =>
        [.. JsonDocument.Parse(File.ReadAllBytes(Reference.Path("tokenizers", family, "golden.json"))).RootElement.EnumerateArray()];

    private static int[] Ids(JsonElement item, string name) => [.. item.GetProperty(name).EnumerateArray().Select(id => id.GetInt32())];
}
