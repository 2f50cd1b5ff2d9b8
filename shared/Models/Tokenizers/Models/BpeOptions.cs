namespace Qbb.Models.Tokenizers;

/// <summary>The flags of a BPE model, as tokenizer.json names them.</summary>
/// <param name="UnknownToken">unk_token: for characters without a token; null drops them.</param>
/// <param name="FuseUnknown">fuse_unk: a run of unknown characters is one token.</param>
/// <param name="ByteFallback">byte_fallback: an unknown character becomes the tokens &lt;0x00&gt; … of its bytes.</param>
/// <param name="IgnoreMerges">ignore_merges: a word that is a token is that token, whatever the merges say.</param>
/// <param name="SubwordPrefix">continuing_subword_prefix, empty for none.</param>
/// <param name="WordSuffix">end_of_word_suffix, empty for none.</param>
internal sealed record BpeOptions(
    string? UnknownToken, bool FuseUnknown, bool ByteFallback, bool IgnoreMerges, string SubwordPrefix, string WordSuffix);
