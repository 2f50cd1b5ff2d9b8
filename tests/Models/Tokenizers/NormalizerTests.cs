using Qbb.Models.Tokenizers;

namespace Qbb.Models.Tests.Tokenizers;

public sealed class NormalizerTests
{
    [Theory]
    [InlineData("NFC", "e\u0301 \u1100\u1161\u11A8 \u2126 \uFB01", "é 각 Ω \uFB01")]
    [InlineData("NFD", "é 각 Ω ǖ", "e\u0301 \u1100\u1161\u11A8 Ω u\u0308\u0304")]
    [InlineData("NFKC", "\uFB01 \u2460 \uFF21 \u1E9B\u0323 ㍿", "fi 1 A \u1E69 株式会社")]
    [InlineData("NFKD", "\u1E9B\u0323 \uFB01", "s\u0323\u0307 fi")]
    [InlineData("NFC", "a\u0301\u0323 \u0344 \u0958", "\u1EA1\u0301 \u0308\u0301 \u0915\u093C")]
    [InlineData("NFC", "\u0041\u030A\u0327 𑂙\u0300𑂺", "\u00C5\u0327 𑂚\u0300")]
    [InlineData("NFC", "\U00011099\U000110BA", "\U0001109A")]
    [InlineData("NFKC", "\u32FF\uA7F2\U0001FBF7", "\u32FF\uA7F2\U0001FBF7")]
    [InlineData("NFKD", "\u32FF\u337F", "\u32FF株式会社")]
    public void Unicode_forms_compose_and_decompose(string form, string text, string expected) =>
        Normalize($$"""{"type": "{{form}}"}""", text).ShouldBe(expected);

    [Fact]
    public void Forms_are_stable_and_lead_to_each_other()
    {
        const int seed = 314;
        var random = new Random(seed);
        UnicodeNormalizer nfc = new(UnicodeForm.Nfc), nfd = new(UnicodeForm.Nfd), nfkc = new(UnicodeForm.Nfkc), nfkd = new(UnicodeForm.Nfkd);
        for (var i = 0; i < 3000; i++)
        {
            var text = RandomText.Create(random, 12);
            var why = $"seed {seed}, case {i}";
            nfd.Normalize(nfc.Normalize(text)).ShouldBe(nfd.Normalize(text), why);
            nfc.Normalize(nfd.Normalize(text)).ShouldBe(nfc.Normalize(text), why);
            nfkd.Normalize(nfkc.Normalize(text)).ShouldBe(nfkd.Normalize(text), why);
            nfkc.Normalize(nfc.Normalize(text)).ShouldBe(nfkc.Normalize(text), why);
            nfc.Normalize(nfc.Normalize(text)).ShouldBe(nfc.Normalize(text), why);
        }
    }

    [Theory]
    [InlineData("""{"type": "Prepend", "prepend": "▁"}""", "a", "▁a")]
    [InlineData("""{"type": "Prepend", "prepend": "▁"}""", "", "")]
    [InlineData("""{"type": "Replace", "pattern": {"String": " "}, "content": "▁"}""", "a  b", "a▁▁b")]
    [InlineData("""{"type": "Replace", "pattern": {"Regex": " +"}, "content": "$0"}""", "a  b c", "a$0b$0c")]
    [InlineData("""{"type": "Strip", "strip_left": true, "strip_right": false}""", " a ", "a ")]
    [InlineData("""{"type": "Strip", "strip_left": false, "strip_right": true}""", " a ", " a")]
    [InlineData("""{"type": "Lowercase"}""", "AÉİΣ𐐀", "aéi\u0307σ𐐨")]
    [InlineData("""{"type": "StripAccents"}""", "e\u0301x", "ex")]
    [InlineData("""{"type": "StripAccents"}""", "क\u0903a\u20DD\u0301\u1AC0", "कa\u1AC0")]
    [InlineData("""{"type": "Lowercase"}""", "\uA7CE\U00016EA0\U00016EBB", "\uA7CF\U00016EBB\U00016EBB")]
    [InlineData("""{"type": "Nmt"}""", "a\u0001\tb\u200Bc▁", "a b c ")]
    [InlineData("""{"type": "BertNormalizer"}""", "Hé\u0000\u200Dllo\t中x", "hello  中 x")]
    [InlineData("""{"type": "BertNormalizer", "lowercase": false}""", "Hé\u00A0", "Hé ")]
    [InlineData("""{"type": "BertNormalizer", "clean_text": false, "handle_chinese_chars": false, "strip_accents": true, "lowercase": false}""", "É中\t", "E中\t")]
    [InlineData("""{"type": "ByteLevel"}""", "é ", "Ã©Ġ")]
    [InlineData("""{"type": "Sequence", "normalizers": []}""", "É", "É")]
    [InlineData("""{"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}]}""", "É", "e")]
    public void Normalizers_are_those_of_the_library(string json, string text, string expected) => Normalize(json, text).ShouldBe(expected);

    [Fact]
    public void A_table_of_SentencePiece_rewrites_graphemes_by_their_shortest_known_start()
    {
        var map = RandomTokenizerJson.CharacterMap([("ﬁ", "fi"), ("\u3000", " "), ("e", "E"), ("e\u0301", "é"), ("か", "ka"), ("か\u3099", "ga")]);
        // The last has six bytes, too many to be looked for as a whole.
        Normalize($$"""{"type": "Precompiled", "precompiled_charsmap": "{{map}}"}""", "ﬁx\u3000e\u0301か\u3099").ShouldBe("fix Eka\u3099");
    }

    [Theory]
    [InlineData("!", "Base64")]
    [InlineData("AAAA", "trie")]
    [InlineData("AAAAAAAAAAA=", "trie")]
    [InlineData("CAAAAAAAAAA=", "trie")]
    [InlineData("BAAAAAAAAAD/", "UTF-8")]
    public void A_damaged_table_is_refused(string map, string reason) =>
        Should.Throw<InvalidInputException>(() => Normalize($$"""{"type": "Precompiled", "precompiled_charsmap": "{{map}}"}""", "a"))
            .Message.ShouldContain(reason);

    [Fact]
    public void A_table_with_a_long_replacement_is_refused()
    {
        var map = RandomTokenizerJson.CharacterMap([("a", new string('b', 300))]);
        Should.Throw<InvalidInputException>(() => Normalize($$"""{"type": "Precompiled", "precompiled_charsmap": "{{map}}"}""", "a"))
            .Message.ShouldContain("300 bytes");
    }

    [Fact]
    public void Replacements_that_feed_on_each_other_are_stopped()
    {
        var replace = $$"""{"type": "Replace", "pattern": {"String": "a"}, "content": "{{new string('a', 256)}}"}""";
        Should.Throw<InvalidInputException>(() => Normalize($$"""{"type": "Sequence", "normalizers": [{{replace}}, {{replace}}, {{replace}}]}""", "a"))
            .Message.ShouldContain("feed on each other");
    }

    private static string Normalize(string json, string text) => NormalizerLoader.Load(TokenizerJsonText.Field(json))?.Normalize(text) ?? text;
}
