using System.Text.Json;
using System.Text.Json.Nodes;
using Qbb.Contracts;
using Qbb.Models.Tokenizers;
using Qbb.Tests;

namespace Qbb.Models.Tests.Tokenizers;

/// <summary>Tokenizers of real families written for GGUF give the ids that they gave before.</summary>
public sealed class GgufTokenizerKeysTests
{
    public static TheoryData<string, string> Families => new()
    {
        { "gpt2", "gpt-2" }, { "gpt-neox", "gpt-2" }, { "smollm2", "smollm" }, { "llama3", "llama-bpe" }, { "qwen2", "qwen2" }, { "deepseek-v3", "deepseek-v3" },
        { "deepseek-coder", "deepseek-coder" }, { "tekken", "tekken" },
    };

    [Theory]
    [MemberData(nameof(Families))]
    public void Ids_of_the_reference_come_back(string family, string pre)
    {
        var folder = Reference.Path("tokenizers", family);
        var tokenizer = Tokenizer.FromFile(Path.Combine(folder, "tokenizer.json"));
        var keys = GgufTokenizerKeys.Of(tokenizer, tokenizer.VocabularySize + 3, [1, 2], padding: 0).ToDictionary();
        keys["tokenizer.ggml.pre"].ShouldBe(pre);
        (keys["tokenizer.ggml.eos_token_id"], keys["tokenizer.ggml.eot_token_id"], keys["tokenizer.ggml.padding_token_id"]).ShouldBe((1u, 2u, 0u));
        ((string[])keys["tokenizer.ggml.tokens"]).Length.ShouldBe(tokenizer.VocabularySize + 3);
        var written = GgufTokenizer.Load(keys, family);
        // llama.cpp normalizes nothing, which is warned of.
        var json = tokenizer.ToJson();
        json["normalizer"] = null;
        tokenizer = Tokenizer.FromJson(json, family);
        using var cases = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "golden.json")));
        var list = cases.RootElement.ValueKind == JsonValueKind.Array ? cases.RootElement : cases.RootElement.GetProperty("cases");
        var (texts, different) = (0, new List<string>());
        foreach (var text in list.EnumerateArray().Select(item => item.GetProperty("text").GetString()!))
        {
            texts++;
            if (!written.Encode(text).SequenceEqual(tokenizer.Encode(text)))
                different.Add(JsonValue.Create(text).ToJsonString());
        }
        TestContext.Current.TestOutputHelper!.WriteLine($"{family}: {texts} texts, {different.Count} differ: {string.Join(' ', different.Take(10))}");
        different.ShouldBeEmpty();
    }

    /// <summary>Pieces with scores, as SentencePiece made them.</summary>
    [Theory]
    [InlineData("narrow-F32.gguf"), InlineData("wide-Q6_K.gguf")]
    public void SentencePiece_of_a_GGUF_file_comes_back(string name)
    {
        using var source = Checkpoints.ModelSource.Open(Reference.Path("gguf", name));
        Same(source.LoadTokenizer(), (int)source.ConfigJson["vocab_size"]!.GetValue<long>());
    }

    [Theory]
    [InlineData("stories260k"), InlineData("babyllama-tok361")]
    public void SentencePiece_of_a_real_model_comes_back(string name)
    {
        var tokenizer = Tokenizer.FromFile(Path.Combine(Reference.Shared("models", name), "tokenizer.json"));
        Same(tokenizer, tokenizer.VocabularySize);
    }

    private static void Same(Tokenizer tokenizer, int rows)
    {
        var keys = GgufTokenizerKeys.Of(tokenizer, rows, [2], null).ToDictionary();
        keys["tokenizer.ggml.model"].ShouldBe("llama");
        var written = GgufTokenizer.Load(keys, "written");
        var random = new Random(5);
        for (var trial = 0; trial < 300; trial++)
        {
            var text = new string([.. Enumerable.Range(0, random.Next(60)).Select(_ => " eettaoinshrdlu,.\n\"ABéß日"[random.Next(24)])]);
            written.Encode(text).ShouldBe(tokenizer.Encode(text), $"seed 5: {text}");
        }
    }

    /// <summary>Merges that are not in the order of any scores, as this trained one has.</summary>
    [Theory]
    [InlineData("llama2"), InlineData("mistral-v3")]
    public void Merges_that_scores_cannot_express_are_refused(string family)
    {
        var tokenizer = Tokenizer.FromFile(Reference.Path("tokenizers", family, "tokenizer.json"));
        Should.Throw<InvalidInputException>(() => GgufTokenizerKeys.Of(tokenizer, tokenizer.VocabularySize, [], null)).Message.ShouldContain("gives the same ids");
    }

    [Theory]
    [InlineData("unigram", "of type Unigram"), InlineData("wordpiece", "of type WordPiece")]
    public void Other_kinds_are_refused(string family, string expected)
    {
        var tokenizer = Tokenizer.FromFile(Reference.Path("tokenizers", family, "tokenizer.json"));
        Should.Throw<InvalidInputException>(() => GgufTokenizerKeys.Of(tokenizer, tokenizer.VocabularySize, [], null)).Message.ShouldContain(expected);
    }

    [Fact]
    public void Words_that_llama_cpp_does_not_cut_so_are_refused_and_so_are_too_few_rows()
    {
        var path = Reference.Path("tokenizers", "llama3", "tokenizer.json");
        var json = JsonNode.Parse(File.ReadAllText(path))!;
        Should.Throw<InvalidInputException>(() => GgufTokenizerKeys.Of(Tokenizer.FromFile(path), 5, [], null)).Message.ShouldContain("belongs to another model");
        json["pre_tokenizer"]!["pretokenizers"]![0]!["pattern"]!["Regex"] = "[a-f]+|[^a-f]+";
        var other = Tokenizer.FromJson(new MemoryStream(System.Text.Encoding.UTF8.GetBytes(json.ToJsonString())), "other");
        Should.Throw<InvalidInputException>(() => GgufTokenizerKeys.Of(other, other.VocabularySize, [], null)).Message.ShouldContain("no tokenizer whose words are cut");
    }
}
