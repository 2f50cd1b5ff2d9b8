using System.Text;

namespace Qbb.Models.Tokenizers;

/// <summary>Reads the "normalizer" of tokenizer.json.</summary>
internal static class NormalizerLoader
{
    private const string Known =
        "NFC, NFD, NFKC, NFKD, Prepend, Replace, Strip, StripAccents, Lowercase, ByteLevel and Sequence are supported";

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
                return new TextNormalizer(PatternLoader.LoadReplacement(field).Apply);
            case "Strip":
                var (left, right) = (field["strip_left"].BoolOr(true), field["strip_right"].BoolOr(true));
                return new TextNormalizer(text => Strip(text, left, right));
            case "Lowercase":
                return new TextNormalizer(Lowercase);
            case "StripAccents":
                return new TextNormalizer(StripAccents);
            case "ByteLevel":
                return new TextNormalizer(text => ByteAlphabet.Encode(text));
            default:
                throw field.Error($"is of the type {field.Type}, which is not supported: {Known}");
        }
    }

    private static string Strip(string text, bool left, bool right) => (left, right) switch
    {
        (true, true) => text.Trim(),
        (true, false) => text.TrimStart(),
        (false, true) => text.TrimEnd(),
        _ => text,
    };

    /// <summary>Character by character; İ is the only one whose lower case is two.</summary>
    private static string Lowercase(string text) => text.ToLowerInvariant().Replace("İ", "i\u0307");

    private static string StripAccents(string text)
    {
        var result = new StringBuilder(text.Length);
        foreach (var rune in text.EnumerateRunes())
            if (Rune.GetUnicodeCategory(rune) != System.Globalization.UnicodeCategory.NonSpacingMark)
                result.Append(rune.ToString());
        return result.ToString();
    }
}
