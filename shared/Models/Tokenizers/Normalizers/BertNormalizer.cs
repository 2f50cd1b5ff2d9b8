using System.Text;

namespace Qbb.Models.Tokenizers;

/// <summary>BERT's: controls out, white space to spaces, spaces around Chinese characters, accents off, lower case; each where it is set.</summary>
internal sealed class BertNormalizer(bool clean, bool spaceChinese, bool stripAccents, bool lowercase) : INormalizer
{
    private static readonly UnicodeNormalizer Decompose = new(UnicodeForm.Nfd);

    private static readonly CodePointSet Chinese = CodePointSet.Of(
    [
        0x3400, 0x4DBF, 0x4E00, 0x9FFF, 0xF900, 0xFAFF, 0x20000, 0x2A6DF, 0x2A700, 0x2B73F, 0x2B740, 0x2B81F, 0x2B920, 0x2CEAF, 0x2F800, 0x2FA1F,
    ]);

    public string Normalize(string text)
    {
        if (clean || spaceChinese)
            text = Rewrite(text, CleanOrSpace);
        if (stripAccents)
            text = Rewrite(Decompose.Normalize(text), (rune, result) => Append(rune, result, !UnicodeTables.BertAccent.Contains(rune.Value)));
        return lowercase ? Lowercase(text) : text;
    }

    /// <summary>Character by character; İ is the only one whose lower case is two. The last are of Unicode 17, which the runtime does not have yet.</summary>
    public static string Lowercase(string text)
    {
        text = text.ToLowerInvariant().Replace("İ", "i\u0307");
        return text.AsSpan().ContainsAny("\uA7CE\uA7D2\uA7D4\uD81B") ? Rewrite(text, LowerNew) : text;

        static void LowerNew(Rune rune, StringBuilder result) =>
            result.Append(new Rune(rune.Value + (rune.Value is 0xA7CE or 0xA7D2 or 0xA7D4 ? 1 : rune.Value is >= 0x16EA0 and <= 0x16EB8 ? 27 : 0)));
    }

    /// <summary>StripAccents, which takes every kind of mark.</summary>
    public static string RemoveMarks(string text) =>
        Rewrite(text, (rune, result) => Append(rune, result, !UnicodeTables.CombiningMark.Contains(rune.Value)));

    /// <summary>Nmt: some controls out, white space and marks of direction to spaces.</summary>
    public static string Nmt(string text) => Rewrite(text, (rune, result) =>
    {
        if (rune.Value is (>= 1 and <= 8) or 0xB or (>= 0xE and <= 0x1F) or 0x7F or 0x8F or 0x9F)
            return;
        var isSpace = rune.Value is 9 or 0xA or 0xC or 0xD or 0x1680 or (>= 0x200B and <= 0x200F) or 0x2028 or 0x2029 or 0x2581 or 0xFEFF or 0xFFFD;
        result.Append(isSpace ? new Rune(' ') : rune);
    });

    private void CleanOrSpace(Rune rune, StringBuilder result)
    {
        if (clean && UnicodeTables.BertControl.Contains(rune.Value))
            return;
        if (clean && UnicodeSets.WhiteSpace.Contains(rune.Value))
            rune = new Rune(' ');
        if (spaceChinese && Chinese.Contains(rune.Value))
            result.Append(' ').Append(rune).Append(' ');
        else
            result.Append(rune);
    }

    private static void Append(Rune rune, StringBuilder result, bool keep)
    {
        if (keep)
            result.Append(rune);
    }

    private static string Rewrite(string text, Action<Rune, StringBuilder> rewrite)
    {
        var result = new StringBuilder(text.Length);
        foreach (var rune in text.EnumerateRunes())
            rewrite(rune, result);
        return result.ToString();
    }
}
