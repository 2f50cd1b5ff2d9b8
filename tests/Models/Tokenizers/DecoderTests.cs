using Qbb.Models.Tokenizers;

namespace Qbb.Models.Tests.Tokenizers;

public sealed class DecoderTests
{
    [Theory]
    [InlineData("""{"type": "ByteLevel"}""", "Ã,©Ġ,日", "é 日")]
    [InlineData("""{"type": "ByteLevel"}""", "Ã,a,ðŁĺ", "\uFFFDa\uFFFD")]
    [InlineData("""{"type": "ByteFallback"}""", "<0xC3>,<0xA9>,a,<0xC3>,<0x41>", "éa\uFFFD\uFFFD")]
    [InlineData("""{"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "WordPiece", "prefix": "##"}]}""", "<0xC3>,<0x41>", "\uFFFD \uFFFD")]
    [InlineData("""{"type": "WordPiece", "prefix": "##", "cleanup": true}""", "do,not,##e,.,n't", "do note.n't")]
    [InlineData("""{"type": "WordPiece", "prefix": "##", "cleanup": false}""", "##a,##b,.", "##ab .")]
    [InlineData("""{"type": "CTC", "pad_token": "_", "word_delimiter_token": "|", "cleanup": true}""", "a,a,_,a,|,|,b", "aa b")]
    [InlineData("""{"type": "ByteFallback"}""", "<0xZZ>,<0x4>", "<0xZZ><0x4>")]
    [InlineData("""{"type": "Strip", "content": " ", "start": 1, "stop": 1}""", "  a ,b", " ab")]
    [InlineData("""{"type": "Strip", "content": "x", "start": 3, "stop": 3}""", "xx,x", "")]
    [InlineData("""{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}""", "▁a,▁b", " a b")]
    [InlineData("""{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"}""", "▁a,▁b", "a b")]
    [InlineData("""{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never"}""", "▁a,▁b", " a b")]
    [InlineData("""{"type": "BPEDecoder", "suffix": "</w>"}""", "a,b</w>,c</w>", "ab c")]
    [InlineData("""{"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "Strip", "content": "a", "start": 1, "stop": 0}]}""", "a,ab", "ab")]
    public void Decoders_are_those_of_the_library(string json, string tokens, string expected) =>
        string.Concat(DecoderLoader.Load(TokenizerJsonText.Field(json))!.Decode([.. tokens.Split(',')])).ShouldBe(expected);

    [Fact]
    public void Without_a_decoder_tokens_are_joined_with_spaces() =>
        TokenizerJsonText.Load(TokenizerJsonText.Small.Replace("""{"type": "Fuse"}""", "null")).Decode([0, 1, 99]).ShouldBe("a b");
}
