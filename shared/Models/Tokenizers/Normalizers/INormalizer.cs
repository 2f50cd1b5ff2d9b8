namespace Qbb.Models.Tokenizers;

/// <summary>Rewrites a stretch of text before it is cut into words. Implementations are immutable.</summary>
internal interface INormalizer
{
    string Normalize(string text);

    /// <summary>Normalizes a text whose first units stem from the first character of the input, and says how many of the result do.</summary>
    string Normalize(string text, ref int first)
    {
        // Nearly all work character by character, so what becomes of the first one is what it becomes by itself.
        if (first > 0)
            first = Normalize(text[..first]).Length;
        return Normalize(text);
    }
}

/// <summary>A normalizer that is one function.</summary>
internal sealed class TextNormalizer(Func<string, string> function) : INormalizer
{
    public string Normalize(string text) => function(text);
}

/// <summary>Normalizers one after the other.</summary>
internal sealed class NormalizerSequence(IReadOnlyList<INormalizer> items) : INormalizer
{
    /// <summary>More than any form of Unicode makes of a text; replacements that feed on each other grow without end.</summary>
    private const int LargestGrowth = 32;

    private const int LengthAlwaysAllowed = 1 << 20;

    public string Normalize(string text)
    {
        var first = 0;
        return Normalize(text, ref first);
    }

    public string Normalize(string text, ref int first)
    {
        var length = text.Length;
        foreach (var item in items)
        {
            text = item.Normalize(text, ref first);
            if (text.Length > LengthAlwaysAllowed && text.Length / LargestGrowth > length)
                throw new InvalidInputException(
                    $"the tokenizer's normalizer makes {text.Length} characters of {length}: its replacements feed on each other, change them");
        }
        return text;
    }
}

/// <summary>Takes white space off the ends.</summary>
internal sealed class StripNormalizer(bool left, bool right) : INormalizer
{
    public string Normalize(string text)
    {
        var first = 0;
        return Normalize(text, ref first);
    }

    public string Normalize(string text, ref int first)
    {
        var stripped = left ? text.TrimStart() : text;
        first = Math.Max(first - (text.Length - stripped.Length), 0);
        if (right)
            stripped = stripped.TrimEnd();
        first = Math.Min(first, stripped.Length);
        return stripped;
    }
}

/// <summary>Every match of a literal or a regular expression, replaced.</summary>
internal sealed class ReplaceNormalizer(TextReplacement replacement) : INormalizer
{
    public string Normalize(string text) => replacement.Apply(text);

    public string Normalize(string text, ref int first) => replacement.Apply(text, ref first);
}
