using System.Text;

namespace Qbb.Models.Tokenizers;

/// <summary>Every match of a literal or of a regular expression, replaced by a literal.</summary>
internal sealed class TextReplacement(string? literal, Pattern? pattern, string content)
{
    public string Apply(string text)
    {
        if (literal != null)
            return literal.Length == 0 ? text : text.Replace(literal, content, StringComparison.Ordinal);
        var result = new StringBuilder(text.Length);
        var end = 0;
        var matches = pattern!.Matches(text);
        while (matches.MoveNext())
        {
            result.Append(text, end, matches.Start - end).Append(content);
            end = matches.End;
        }
        return result.Append(text, end, text.Length - end).ToString();
    }
}
