using Qbb.Models.Tokenizers;

namespace Qbb.Models.Tests.Tokenizers;

public sealed class PreTokenizerTests
{
    [Theory]
    [InlineData("Removed", false, "the|final|countdown")]
    [InlineData("Isolated", false, "the|-|final|-|-|countdown")]
    [InlineData("MergedWithPrevious", false, "the-|final-|-|countdown")]
    [InlineData("MergedWithNext", false, "the|-final|-|-countdown")]
    [InlineData("Contiguous", false, "the|-|final|--|countdown")]
    [InlineData("Removed", true, "-|-|-")]
    [InlineData("Contiguous", true, "the|-|final|--|countdown")]
    public void Split_has_all_behaviours_for_literals_and_expressions(string behavior, bool invert, string expected)
    {
        foreach (var kind in new[] { "String", "Regex" })
            Split(
                $$"""{"type": "Split", "pattern": {"{{kind}}": "-"}, "behavior": "{{behavior}}", "invert": {{(invert ? "true" : "false")}}}""",
                "the-final--countdown").ShouldBe(expected.Split('|').ToList(), customMessage: kind);
    }

    [Theory]
    [InlineData("""{"type": "Digits", "individual_digits": true}""", "a12 ½", "a|1|2| |½")]
    [InlineData("""{"type": "Digits", "individual_digits": false}""", "a12 ½", "a|12| |½")]
    [InlineData("""{"type": "Whitespace"}""", "Hey friend!  How", "Hey|friend|!|How")]
    [InlineData("""{"type": "WhitespaceSplit"}""", "Hey friend!\t How", "Hey|friend!|How")]
    [InlineData("""{"type": "Punctuation"}""", "a,b$c。", "a|,|b|$|c|。")]
    [InlineData("""{"type": "Punctuation", "behavior": "Contiguous"}""", "a,!b", "a|,!|b")]
    [InlineData("""{"type": "Punctuation"}""", "a§b\u061Dc\u166Dd", "a|§|b\u061Dc|\u166D|d")]
    [InlineData("""{"type": "Whitespace"}""", "a\u200Db² c", "a\u200Db|²|c")]
    [InlineData("""{"type": "BertPreTokenizer"}""", "Hey friend!  $5", "Hey|friend|!|$|5")]
    [InlineData("""{"type": "FixedLength", "length": 2}""", "a😀bcd", "a😀|bc|d")]
    [InlineData("""{"type": "CharDelimiterSplit", "delimiter": "x"}""", "axxb", "a|b")]
    [InlineData("""{"type": "Metaspace", "replacement": "_", "prepend_scheme": "always"}""", "a  b", "_a|_|_b")]
    [InlineData("""{"type": "Metaspace", "replacement": "_", "prepend_scheme": "always"}""", " a", "_a")]
    [InlineData("""{"type": "Metaspace", "replacement": "_", "prepend_scheme": "never"}""", "a b", "a|_b")]
    [InlineData("""{"type": "Metaspace", "replacement": "_", "prepend_scheme": "first", "split": false}""", "a b", "_a_b")]
    [InlineData("""{"type": "Metaspace", "replacement": "_", "add_prefix_space": false}""", "a b", "a|_b")]
    [InlineData("""{"type": "ByteLevel", "add_prefix_space": true}""", "a b'll  c\n", " a| b|'ll| | c|\n")]
    [InlineData("""{"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}""", "a b", "a b")]
    [InlineData("""{"type": "Sequence", "pretokenizers": [{"type": "ByteLevel", "add_prefix_space": false}, {"type": "Digits"}]}""", "é 1", "Ã©|Ġ|1")]
    [InlineData("""{"type": "Sequence", "pretokenizers": []}""", "a b", "a b")]
    public void Pieces_are_those_of_the_library(string json, string text, string expected) =>
        Split(json, text).ShouldBe(expected.Split('|'));

    [Theory]
    [InlineData("superbpe", "in 1234567 b", "in |1|234|567| b")]
    [InlineData("afmoe", "12345 x。中文y", "12|345| x|。|中文|y")]
    [InlineData("kimi-k2", "a  中文b It's 1234", "a| | |中文|b| It's| |123|4")]
    [InlineData("exaone-moe", "the old man, 12", "the old man|,| |1|2")]
    [InlineData("youtu", "中文abc it's 12", "中文|abc| it's| |1|2")]
    public void Names_of_GGUF_cut_words_as_their_models_do(string name, string text, string expected)
    {
        var cut = GgufPreTokenizers.ToJson(GgufPreTokenizers.Find(name)!)["pretokenizers"]!.AsArray();
        // The last one only maps bytes to characters.
        cut.RemoveAt(cut.Count - 1);
        Split($$"""{"type": "Sequence", "pretokenizers": {{cut.ToJsonString()}}}""", text).ShouldBe(expected.Split('|'));
    }

    [Fact]
    public void Metaspace_first_prepends_at_the_start_of_the_input_only()
    {
        var preTokenizer = PreTokenizerLoader.Load(TokenizerJsonText.Field("""{"type": "Metaspace", "replacement": "_", "prepend_scheme": "first"}""")).PreTokenizer!;
        var output = new List<TextPiece>();
        preTokenizer.Split(TextPiece.Whole("a", first: 0), output);
        output.Single().ToString().ShouldBe("a");
    }

    [Theory]
    [InlineData("""{"type": "Strip", "strip_left": true, "strip_right": true}""", " a", "a")]
    [InlineData("""{"type": "Strip", "strip_left": true, "strip_right": true}""", "a ", "_a")]
    [InlineData("""{"type": "Replace", "pattern": {"String": "b"}, "content": ""}""", "ba", "a")]
    [InlineData("""{"type": "Replace", "pattern": {"String": "b"}, "content": "c"}""", "ba", "_ca")]
    [InlineData("""{"type": "Replace", "pattern": {"Regex": "a+"}, "content": "c"}""", "aab", "cb")]
    [InlineData("""{"type": "NFD"}""", "éa", "_e\u0301a")]
    [InlineData("""{"type": "StripAccents"}""", "\u0301a", "a")]
    public void Metaspace_first_prepends_nothing_where_a_normalizer_removed_the_start(string normalizer, string text, string expected)
    {
        var first = 1;
        var normalized = NormalizerLoader.Load(TokenizerJsonText.Field(normalizer))!.Normalize(text, ref first);
        var output = new List<TextPiece>();
        PreTokenizerLoader.Load(TokenizerJsonText.Field("""{"type": "Metaspace", "replacement": "_", "prepend_scheme": "first"}"""))
            .PreTokenizer!.Split(TextPiece.Whole(normalized, first), output);
        output.Single().ToString().ShouldBe(expected);
    }

    private static List<string> Split(string json, string text)
    {
        var preTokenizer = PreTokenizerLoader.Load(TokenizerJsonText.Field(json)).PreTokenizer;
        var output = new List<TextPiece>();
        if (preTokenizer == null)
            return [text];
        preTokenizer.Split(TextPiece.Whole(text, first: 1), output);
        return [.. output.Select(piece => piece.ToString())];
    }
}
