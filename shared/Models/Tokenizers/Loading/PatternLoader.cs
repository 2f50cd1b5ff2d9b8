namespace Qbb.Models.Tokenizers;

/// <summary>Reads patterns, which tokenizer.json writes as {"String": …} or {"Regex": …}.</summary>
internal static class PatternLoader
{
    /// <summary>The longest text that a normalizer or decoder may put in the place of another.</summary>
    public const int MaximumContent = 256;

    /// <summary>The literal or the regular expression of a pattern; exactly one of the two is not null.</summary>
    public static (string? Literal, Pattern? Pattern) Load(JsonField field)
    {
        if (field.Element.ValueKind == System.Text.Json.JsonValueKind.String)
            return (field.String(), null);
        if (!field["String"].IsNull)
            return (field["String"].String(), null);
        var regex = field["Regex"].String();
        try
        {
            return (null, new Pattern(regex));
        }
        catch (PatternSyntaxException error)
        {
            throw field.Error($"cannot be used: {error.Message}");
        }
    }

    /// <summary>Replace, which is a normalizer and a decoder.</summary>
    public static TextReplacement LoadReplacement(JsonField field)
    {
        var (literal, pattern) = Load(field["pattern"]);
        return new TextReplacement(literal, pattern, field["content"].ShortString(MaximumContent));
    }

    /// <summary>One character, however many UTF-16 units it has.</summary>
    public static string LoadCharacter(JsonField field)
    {
        var text = field.String();
        var isOne = text.Length == 1 || (text.Length == 2 && char.IsSurrogatePair(text, 0));
        return isOne ? text : throw field.Error("is not one character");
    }
}
