namespace Qbb.Models.Tokenizers;

/// <summary>Reads the "normalizer" of tokenizer.json.</summary>
internal static class NormalizerLoader
{
    private const string Known = "NFC, NFD, NFKC, NFKD, Prepend, Replace, Strip, StripAccents, Lowercase, ByteLevel, BertNormalizer, Nmt, Precompiled "
        + "and Sequence are supported";

    public static INormalizer? Load(JsonField field)
    {
        if (field.IsNull)
            return null;
        switch (field.Type)
        {
            case "Sequence":
                INormalizer[] items = [.. field["normalizers"].Items().Select(Load).OfType<INormalizer>()];
                return items.Length == 0 ? null : new NormalizerSequence(items);
            case "NFC":
                return new UnicodeNormalizer(UnicodeForm.Nfc);
            case "NFD":
                return new UnicodeNormalizer(UnicodeForm.Nfd);
            case "NFKC":
                return new UnicodeNormalizer(UnicodeForm.Nfkc);
            case "NFKD":
                return new UnicodeNormalizer(UnicodeForm.Nfkd);
            case "Prepend":
                var prefix = field["prepend"].ShortString(PatternLoader.MaximumContent);
                return new TextNormalizer(text => text.Length == 0 ? text : prefix + text);
            case "Replace":
                return new ReplaceNormalizer(PatternLoader.LoadReplacement(field));
            case "Strip":
                return new StripNormalizer(field["strip_left"].BoolOr(true), field["strip_right"].BoolOr(true));
            case "Lowercase":
                return new TextNormalizer(BertNormalizer.Lowercase);
            case "StripAccents":
                return new TextNormalizer(BertNormalizer.RemoveMarks);
            case "ByteLevel":
                return new TextNormalizer(text => ByteAlphabet.Encode(text));
            case "Nmt":
                return new TextNormalizer(BertNormalizer.Nmt);
            case "BertNormalizer":
                var lowercase = field["lowercase"].BoolOr(true);
                return new BertNormalizer(
                    field["clean_text"].BoolOr(true), field["handle_chinese_chars"].BoolOr(true), field["strip_accents"].BoolOr(lowercase), lowercase);
            case "Precompiled":
                return PrecompiledNormalizer.Load(field["precompiled_charsmap"]);
            default:
                throw field.Error($"is of the type {field.Type}, which is not supported: {Known}");
        }
    }
}
