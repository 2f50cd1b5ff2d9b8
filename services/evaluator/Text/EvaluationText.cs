using System.Text;
using Qbb.Models;
using Qbb.Recipes;

namespace Qbb.Evaluator.Text;

/// <summary>Reads the text that a model is scored on.</summary>
public static class EvaluationText
{
    /// <summary>The path that stands for standard input, which can be read once.</summary>
    public const string StandardInput = "-";

    /// <summary>Reads a UTF-8 file and lays its rows out.</summary>
    /// <exception cref="InvalidInputException">The file is missing, unreadable, empty or not UTF-8.</exception>
    public static (string Text, TextLayout Layout) Read(string path, TextLayout layout = TextLayout.Auto, bool mayBeEmpty = false)
    {
        string text;
        var name = path == StandardInput ? "on standard input" : path;
        try
        {
            text = new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(path == StandardInput ? ReadStandardInput() : File.ReadAllBytes(path));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InvalidInputException($"the text {name} cannot be read: {e.Message}", e);
        }
        catch (DecoderFallbackException e)
        {
            throw new InvalidInputException($"the text {name} is not UTF-8 (first bad byte at {e.Index})", "convert it, for example with iconv -t UTF-8", e);
        }
        if (text.Length == 0 && !mayBeEmpty)
            throw new InvalidInputException($"the text {name} is empty");
        if (layout == TextLayout.Auto)
            layout = LooksLikeWikiText(text) ? TextLayout.Wikitext : TextLayout.Raw;
        return (layout == TextLayout.Wikitext ? JoinWikiText(text) : text, layout);
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

    private static byte[] ReadStandardInput()
    {
        using var input = Console.OpenStandardInput();
        using var bytes = new MemoryStream();
        input.CopyTo(bytes);
        return bytes.ToArray();
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
