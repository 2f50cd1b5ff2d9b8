using System.Text.RegularExpressions;

namespace Qbb.Registry.Pages.Cards;

/// <summary>
/// A model card as HTML: headings, paragraphs, lists, quotes, tables, code; pictures by their texts. Whatever else is in it, HTML above all,
/// is shown as it is written. Cards come from strangers: nothing of them reaches a page but through the encoder.
/// </summary>
internal static partial class MarkdownCard
{
    private const int MostCharacters = 200_000;
    private const int MostDepth = 4;

    /// <param name="text">Markdown, perhaps with front matter.</param>
    /// <param name="level">Headings are this many levels below those that the card says.</param>
    public static Markup Render(string text, int level)
    {
        var lines = (text.Length > MostCharacters ? text[..MostCharacters] : text).Replace("\r\n", "\n", StringComparison.Ordinal).Split('\n');
        var (front, first) = FrontMatter(lines);
        var cut = text.Length > MostCharacters ? Markup.Of($"""<p class="quiet">The rest of this long card is in its file.</p>""") : Markup.Empty;
        return Markup.Of($"{front}{Blocks(lines.AsSpan(first).ToArray(), level, 0)}{cut}");
    }

    private static (Markup Html, int Next) FrontMatter(string[] lines)
    {
        var end = lines.Length > 0 && lines[0].TrimEnd() == "---" ? Array.FindIndex(lines, 1, line => line.TrimEnd() == "---") : -1;
        return end < 0 ? (Markup.Empty, 0) : (Markup.Of($"""<pre class="front" tabindex="0"><code>{string.Join('\n', lines[1..end])}</code></pre>"""), end + 1);
    }

    private static Markup Blocks(string[] lines, int level, int depth)
    {
        var blocks = new List<Markup>();
        for (var at = 0; at < lines.Length;)
        {
            var line = lines[at];
            if (string.IsNullOrWhiteSpace(line))
                at++;
            else if (Fence().Match(line) is { Success: true } fence)
                blocks.Add(Code(lines, ref at, fence.Groups[1].Value));
            else if (Heading().Match(line) is { Success: true } heading)
                blocks.Add(Head(lines, ref at, heading, level));
            else if (IsTable(lines, at))
                blocks.Add(MarkdownTable.Render(Take(lines, ref at, row => row.Contains('|', StringComparison.Ordinal))));
            else if (IsQuoted(line) && depth < MostDepth)
                blocks.Add(Markup.Of($"<blockquote>{Blocks(Quoted(lines, ref at), level, depth + 1)}</blockquote>"));
            else if (Item().IsMatch(line))
                blocks.Add(List(lines, ref at));
            else if (Rule().IsMatch(line))
                blocks.Add(Ruled(ref at));
            else
                blocks.Add(Markup.Of($"<p>{InlineMarkdown.Render(string.Join('\n', Take(lines, ref at, IsText)))}</p>"));
        }
        return Markup.Join(blocks);
    }

    private static Markup Code(string[] lines, ref int at, string fence)
    {
        var first = ++at;
        while (at < lines.Length && !lines[at].TrimStart().StartsWith(fence, StringComparison.Ordinal))
            at++;
        return Markup.Of($"""<pre tabindex="0"><code>{string.Join('\n', lines[first..Math.Min(at++, lines.Length)])}</code></pre>""");
    }

    private static Markup Head(string[] lines, ref int at, Match heading, int level)
    {
        at++;
        var depth = Math.Min(6, heading.Groups[1].Length + level);
        return Markup.Of($"<h{depth}>{InlineMarkdown.Render(heading.Groups[2].Value)}</h{depth}>");
    }

    private static Markup List(string[] lines, ref int at)
    {
        var isNumbered = char.IsAsciiDigit(lines[at].TrimStart()[0]);
        var items = new List<string>();
        while (at < lines.Length && !string.IsNullOrWhiteSpace(lines[at]))
        {
            if (Item().Match(lines[at]) is { Success: true } item)
                items.Add(item.Groups[1].Value);
            else
                items[^1] += "\n" + lines[at].Trim();
            at++;
        }
        var all = items.Select(item => Markup.Of($"<li>{InlineMarkdown.Render(item)}</li>"));
        return isNumbered ? Markup.Of($"<ol>{all}</ol>") : Markup.Of($"<ul>{all}</ul>");
    }

    private static Markup Ruled(ref int at)
    {
        at++;
        return Markup.Of($"<hr>");
    }

    private static bool IsTable(string[] lines, int at) =>
        lines[at].Contains('|', StringComparison.Ordinal) && at + 1 < lines.Length && Dashes().IsMatch(lines[at + 1]);

    private static bool IsQuoted(string line) => line.TrimStart().StartsWith('>');

    /// <summary>The quoted lines from here, without their marks.</summary>
    private static string[] Quoted(string[] lines, ref int at) =>
        [.. Take(lines, ref at, IsQuoted).Select(line => line.TrimStart()[1..].TrimStart())];

    private static bool IsText(string line) =>
        !string.IsNullOrWhiteSpace(line) && !Fence().IsMatch(line) && !Heading().IsMatch(line) && !Item().IsMatch(line) && !IsQuoted(line);

    /// <summary>The line at hand and those behind it that fit.</summary>
    private static string[] Take(string[] lines, ref int at, Func<string, bool> fits)
    {
        var first = at++;
        while (at < lines.Length && fits(lines[at]))
            at++;
        return lines[first..at];
    }

    [GeneratedRegex(@"\A {0,3}(```|~~~)", RegexOptions.CultureInvariant)]
    private static partial Regex Fence();

    [GeneratedRegex(@"\A {0,3}(#{1,6})\s+(.*?)\s*#*\s*\z", RegexOptions.CultureInvariant)]
    private static partial Regex Heading();

    [GeneratedRegex(@"\A\s*(?:[-*+]|\d{1,9}[.)])\s+(.*)\z", RegexOptions.CultureInvariant)]
    private static partial Regex Item();

    [GeneratedRegex(@"\A {0,3}([-*_])(?:\s*\1){2,}\s*\z", RegexOptions.CultureInvariant)]
    private static partial Regex Rule();

    [GeneratedRegex(@"\A\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*\z", RegexOptions.CultureInvariant)]
    private static partial Regex Dashes();
}
