using System.Text;
using Qbb.Models;
using Qbb.Recipes;

namespace Qbb.Evaluator.Text;

/// <summary>Reads the text that a model is scored on.</summary>
public static class EvaluationText
{
    /// <summary>Reads a UTF-8 file and lays its rows out.</summary>
    /// <exception cref="InvalidInputException">The file is missing, unreadable, empty or not UTF-8.</exception>
    public static (string Text, TextLayout Layout) Read(string path, TextLayout layout = TextLayout.Auto, bool mayBeEmpty = false)
    {
        string text;
        try
        {
            text = new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(File.ReadAllBytes(path));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InvalidInputException($"the text {path} cannot be read: {e.Message}", e);
        }
        catch (DecoderFallbackException e)
        {
            throw new InvalidInputException($"the text {path} is not UTF-8 (first bad byte at {e.Index}): convert it, for example with iconv -t UTF-8", e);
        }
        if (text.Length == 0 && !mayBeEmpty)
            throw new InvalidInputException($"the text {path} is empty");
        if (layout == TextLayout.Auto)
            layout = LooksLikeWikiText(text) ? TextLayout.WikiText : TextLayout.Raw;
        return (layout == TextLayout.WikiText ? JoinWikiText(text) : text, layout);
    }

    /// <summary>
    /// WikiText's rows (each line with its newline; a line of white space becomes an empty row) joined by two newlines, as in the
    /// scripts of GPTQ and its successors: the 4,358 rows of the raw test file are 287,644 tokens of GPT-2's tokenizer.
    /// </summary>
    public static string JoinWikiText(string text)
    {
        var joined = new StringBuilder(text.Length + text.Length / 64);
        for (var start = 0; start < text.Length;)
        {
            var end = text.IndexOf('\n', start);
            end = end < 0 ? text.Length : end + 1;
            var row = text.AsSpan(start, end - start);
            if (start > 0)
                joined.Append("\n\n");
            if (!row.IsWhiteSpace())
                joined.Append(row);
            start = end;
        }
        return joined.ToString();
    }

    // The raw files begin with a blank line and a heading: " = Robert Boulter = ".
    private static bool LooksLikeWikiText(string text)
    {
        foreach (var line in text.AsSpan(0, Math.Min(text.Length, 4096)).EnumerateLines())
            if (!line.IsWhiteSpace())
                return line.StartsWith(" = ") && line.EndsWith(" = ");
        return false;
    }
}
