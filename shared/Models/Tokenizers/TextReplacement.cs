using System.Text;

namespace Qbb.Models.Tokenizers;

/// <summary>Every match of a literal or of a regular expression, replaced by a literal.</summary>
internal sealed class TextReplacement(string? literal, Pattern? pattern, string content)
{
    public string Apply(string text)
    {
        if (literal != null)
            return literal.Length == 0 ? text : text.Replace(literal, content, StringComparison.Ordinal);
        var first = 0;
        return Apply(text, ref first);
    }

    /// <summary>Replaces, and follows how many units stem from the first <paramref name="first"/>: a replacement stems from the end of its match.</summary>
    public string Apply(string text, ref int first)
    {
        if (literal != null && (literal.Length == 0 || !text.Contains(literal, StringComparison.Ordinal)))
            return text;
        var result = new StringBuilder(text.Length);
        var (end, firstAfter) = (0, 0);
        if (literal != null)
        {
            for (int start; (start = text.IndexOf(literal, end, StringComparison.Ordinal)) >= 0;)
                firstAfter = Append(result, text, ref end, start, start + literal.Length, first, firstAfter);
        }
        else
        {
            var matches = pattern!.Matches(text);
            while (matches.MoveNext())
                firstAfter = Append(result, text, ref end, matches.Start, matches.End, first, firstAfter);
        }
        if (end < first)
            firstAfter = result.Length + first - end;
        first = firstAfter;
        return result.Append(text, end, text.Length - end).ToString();
    }

    private int Append(StringBuilder result, string text, ref int end, int start, int stop, int first, int firstAfter)
    {
        var before = result.Length;
        result.Append(text, end, start - end).Append(content);
        if (end < first)
            firstAfter = stop <= first ? result.Length : before + Math.Min(first, start) - end;
        end = stop;
        return firstAfter;
    }
}
