using System.Diagnostics;
using System.Text;
using System.Text.Json.Nodes;
using Qbb.Models.Tokenizers;

namespace Qbb.Models.Tests.Tokenizers;

public sealed class MalformedTokenizerTests
{
    [Theory]
    [InlineData("model", "null", "\"model\"")]
    [InlineData("model", "7", "model")]
    [InlineData("model.type", "\"Unigram\"", "model.vocab")]
    [InlineData("model", "{\"type\": \"Unigram\", \"vocab\": [[\"a\"]]}", "model.vocab[0]")]
    [InlineData("model", "{\"type\": \"Unigram\", \"vocab\": [[\"a\", 1e999]]}", "model.vocab[0]")]
    [InlineData("model", "{\"type\": \"Unigram\", \"vocab\": [[\"a\", -1]], \"unk_id\": 1}", "model.unk_id")]
    [InlineData("model", "{\"type\": \"WordPiece\", \"vocab\": {\"a\": 0}, \"max_input_chars_per_word\": -1}", "max_input_chars_per_word")]
    [InlineData("model.type", "\"WordLevel\"", "WordLevel")]
    [InlineData("model.vocab", "null", "model.vocab")]
    [InlineData("model.vocab", "[\"a\"]", "model.vocab")]
    [InlineData("model.vocab", "{\"\\ud800\": 0}", "surrogate")]
    [InlineData("model.vocab.a", "\"0\"", "\"a\"")]
    [InlineData("model.vocab.a", "-1", "-1")]
    [InlineData("model.vocab.a", "1.5", "1.5")]
    [InlineData("model.vocab.a", "99999999999", "99999999999")]
    [InlineData("model.vocab.a", "2000000000", "2000000000")]
    [InlineData("model.vocab.a", "1", "same id")]
    [InlineData("model.merges", "null", "model.merges")]
    [InlineData("model.merges", "[\"a z\"]", "\"z\"")]
    [InlineData("model.merges", "[\"a c\"]", "\"ac\"")]
    [InlineData("model.merges", "[\"ab\"]", "model.merges[0]")]
    [InlineData("model.merges", "[\"a b c\"]", "model.merges[0]")]
    [InlineData("model.merges", "[[\"a\"]]", "model.merges[0]")]
    [InlineData("model.merges", "[[\"a\", 1]]", "model.merges[0][1]")]
    [InlineData("model.merges", "[7]", "model.merges[0]")]
    [InlineData("model.dropout", "0.1", "dropout")]
    [InlineData("model.byte_fallback", "\"yes\"", "model.byte_fallback")]
    [InlineData("model.unk_token", "3", "model.unk_token")]
    [InlineData("added_tokens", "{}", "added_tokens")]
    [InlineData("added_tokens", "[{\"id\": 1}]", "added_tokens[0].content")]
    [InlineData("added_tokens", "[{\"id\": -5, \"content\": \"x\"}]", "added_tokens[0].id")]
    [InlineData("added_tokens", "[{\"id\": 12, \"content\": \"x\"}, {\"id\": 13, \"content\": \"x\"}]", "second time")]
    [InlineData("added_tokens", "[{\"id\": 12, \"content\": \"\\ud800\"}]", "surrogate")]
    [InlineData("normalizer", "{\"type\": \"Precompiled\"}", "normalizer.precompiled_charsmap")]
    [InlineData("normalizer", "{\"type\": \"Other\"}", "Precompiled")]
    [InlineData("normalizer", "{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Other\"}]}", "normalizer.normalizers[0]")]
    [InlineData("normalizer", "{\"type\": \"Prepend\"}", "normalizer.prepend")]
    [InlineData("normalizer", "{\"type\": \"Replace\", \"pattern\": {\"Regex\": \"(\"}, \"content\": \"\"}", "normalizer.pattern")]
    [InlineData("normalizer", "[]", "normalizer")]
    [InlineData("pre_tokenizer", "{\"type\": \"FixedLength\", \"length\": 0}", "pre_tokenizer.length")]
    [InlineData("pre_tokenizer", "{\"type\": \"UnicodeScripts\"}", "UnicodeScripts")]
    [InlineData("pre_tokenizer.behavior", "\"Dropped\"", "Dropped")]
    [InlineData("pre_tokenizer", "{\"type\": \"Metaspace\", \"replacement\": \"ab\"}", "pre_tokenizer.replacement")]
    [InlineData("pre_tokenizer", "{\"type\": \"Metaspace\", \"replacement\": \"_\", \"prepend_scheme\": \"often\"}", "often")]
    [InlineData("decoder", "{\"type\": \"Other\"}", "Other")]
    [InlineData("decoder", "{\"type\": \"Strip\", \"content\": \" \", \"start\": -1, \"stop\": 0}", "decoder.start")]
    [InlineData("post_processor", "{\"type\": \"Other\"}", "Other")]
    [InlineData("post_processor", "{\"type\": \"BertProcessing\", \"sep\": [\"x\", 50], \"cls\": [\"x\", 50]}", "50")]
    [InlineData("post_processor", "{\"type\": \"TemplateProcessing\", \"single\": []}", "sequence A")]
    [InlineData("post_processor", "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"x\"}}], \"special_tokens\": {}}", "special_tokens.x")]
    public void A_fault_is_named_with_the_file_and_the_field(string path, string json, string message)
    {
        var root = JsonNode.Parse(TokenizerJsonText.Small)!;
        var names = path.Split('.');
        var parent = names[..^1].Aggregate(root, (node, name) => node[name]!);
        var text = root.ToJsonString();
        // Put in as text, for what JsonNode would not write (half surrogate pairs).
        parent[names[^1]] = "PLACE";
        text = root.ToJsonString().Replace("\"PLACE\"", json);
        var error = Should.Throw<InvalidInputException>(() => TokenizerJsonText.Load(text));
        error.Message.ShouldContain("test.json");
        error.Message.ShouldContain(message);
    }

    [Theory]
    [InlineData("normalizer", "{\"type\": \"Prepend\", \"prepend\": \"LONG\"}", "normalizer.prepend")]
    [InlineData("decoder", "{\"type\": \"Replace\", \"pattern\": {\"String\": \"a\"}, \"content\": \"LONG\"}", "decoder.content")]
    [InlineData("added_tokens", "[{\"id\": 12, \"content\": \"LONG\"}]", "added_tokens[0].content")]
    [InlineData("model", "{\"type\": \"WordPiece\", \"vocab\": {\"LONG\": 0}}", "model.vocab")]
    [InlineData("model", "{\"type\": \"Unigram\", \"vocab\": [[\"LONG\", 0]]}", "model.vocab[0]")]
    public void Texts_that_would_make_much_work_of_little_are_refused(string name, string json, string message)
    {
        var root = JsonNode.Parse(TokenizerJsonText.Small)!;
        root[name] = JsonNode.Parse(json.Replace("LONG", new string('x', 5000)));
        Should.Throw<InvalidInputException>(() => Tokenizer.FromJson(root, "test.json")).Message.ShouldContain(message);
    }

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("[]")]
    [InlineData("null")]
    [InlineData("{}")]
    [InlineData("{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"a\": 1}, \"merges\": []}}")]
    public void What_is_no_tokenizer_is_refused(string text) =>
        Should.Throw<InvalidInputException>(() => TokenizerJsonText.Load(text)).Message.ShouldContain("test.json");

    [Fact]
    public void Text_that_is_not_utf8_is_refused() =>
        Should.Throw<InvalidInputException>(() => Tokenizer.FromJson(new MemoryStream([0x7B, 0xFF, 0x7D]), "test.json")).Message.ShouldContain("UTF-8");

    [Fact]
    public void A_missing_file_is_named() =>
        Should.Throw<InvalidInputException>(() => Tokenizer.FromFile("/nowhere/tokenizer.json")).Message.ShouldContain("/nowhere/tokenizer.json");

    [Fact]
    public void Ten_thousand_damaged_files_load_or_are_refused()
    {
        const int seed = 20261123;
        var random = new Random(seed);
        var original = Encoding.UTF8.GetBytes(Everything);
        TokenizerJsonText.Load(Everything).Encode("abc 12 é").ShouldNotBeEmpty();
        var (loaded, refused) = (0, 0);
        var clock = Stopwatch.StartNew();
        for (var i = 0; i < 10_000; i++)
        {
            var bytes = Damage(original, random);
            try
            {
                var tokenizer = Tokenizer.FromJson(new MemoryStream(bytes), "damaged.json");
                var ids = tokenizer.Encode("abc  12 é<s>\n😀");
                _ = tokenizer.Decode(ids).Length;
                loaded++;
            }
            catch (InvalidInputException)
            {
                refused++;
            }
            catch (Exception error)
            {
                throw new InvalidOperationException($"seed {seed}, case {i}: {Encoding.UTF8.GetString(bytes)}", error);
            }
        }
        TestContext.Current.SendDiagnosticMessage($"{loaded} loaded, {refused} refused in {clock.Elapsed}");
        refused.ShouldBeGreaterThan(1000);
    }

    private static byte[] Damage(byte[] original, Random random)
    {
        if (random.Next(10) == 0)
            return original[..random.Next(original.Length)];
        var bytes = original.ToList();
        for (var count = random.Next(1, 4); count > 0; count--)
        {
            var position = random.Next(bytes.Count);
            switch (random.Next(4))
            {
                case 0:
                    bytes[position] = (byte)random.Next(256);
                    break;
                case 1:
                    bytes[position] = (byte)Marks[random.Next(Marks.Length)];
                    break;
                case 2:
                    bytes.RemoveAt(position);
                    break;
                default:
                    bytes.Insert(position, bytes[random.Next(bytes.Count)]);
                    break;
            }
        }
        return [.. bytes];
    }

    private const string Marks = "0123456789{}[]\",:\\+*?()|-";

    /// <summary>Every component once.</summary>
    private const string Everything = """
        {"added_tokens":[{"id":14,"content":"<s>","special":true,"lstrip":true},{"id":15,"content":"12","rstrip":true,"single_word":true,"normalized":true}],
        "normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Replace","pattern":{"Regex":"x{2,3}"},"content":"y"},{"type":"Strip","strip_left":false}]},
        "pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"(?i:'s)|[^\\s\\d]+|\\s+(?!\\S)|(?:ab|c)*d"},"behavior":"Isolated","invert":false},
        {"type":"Digits","individual_digits":true},{"type":"Metaspace","replacement":"_","prepend_scheme":"first","split":true}]},
        "post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>"}},{"Sequence":{"id":"A"}}],"special_tokens":{"<s>":{"ids":[14]}}},
        "decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"_"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]},
        "model":{"type":"BPE","unk_token":"u","fuse_unk":true,"byte_fallback":true,"ignore_merges":false,"continuing_subword_prefix":"",
        "vocab":{"a":0,"b":1,"c":2,"_":3,"ab":4,"abc":5,"_a":6,"u":7,"1":8,"2":9,"<0xC3>":10,"<0xA9>":11,"_abc":12,"12":15},"merges":["a b","ab c","_ a",["_","abc"]]}}
        """;
}
