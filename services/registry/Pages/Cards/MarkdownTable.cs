namespace Qbb.Registry.Pages.Cards;

/// <summary>A table of Markdown: heads, dashes that say how columns stand, rows.</summary>
internal static class MarkdownTable
{
    public static Markup Render(string[] lines)
    {
        var heads = Cells(lines[0]);
        var isRight = Cells(lines[1]).Select(dashes => dashes.EndsWith(':')).ToList();
        var head = heads.All(cell => cell.Length == 0) ? Markup.Empty
            : Markup.Of($"<thead><tr>{heads.Select((cell, index) => Head(cell, KindOf(isRight, index)))}</tr></thead>");
        var rows = lines.Skip(2).Select(line => Cells(line).Take(heads.Count)
            .Select((cell, index) => Markup.Of($"""<td class="{KindOf(isRight, index)}">{InlineMarkdown.Render(cell)}</td>""")))
            .Select(cells => Markup.Of($"<tr>{cells}</tr>"));
        return Markup.Of($"""<div class="wide" tabindex="0" role="group" aria-label="Table of the card"><table>{head}<tbody>{rows}</tbody></table></div>""");
    }

    private static Markup Head(string cell, string kind) => cell.Length == 0
        ? Markup.Of($"<td></td>")
        : Markup.Of($"""<th scope="col" class="{kind}">{InlineMarkdown.Render(cell)}</th>""");

    private static string KindOf(List<bool> isRight, int index) => index < isRight.Count && isRight[index] ? "number" : "";

    /// <summary>The cells of a line; \| is a stroke within one.</summary>
    private static List<string> Cells(string line)
    {
        const char Hidden = '\u0001';
        var inner = line.Trim().Replace("\\|", Hidden.ToString(), StringComparison.Ordinal);
        inner = inner.StartsWith('|') ? inner[1..] : inner;
        inner = inner.EndsWith('|') ? inner[..^1] : inner;
        return [.. inner.Split('|').Select(cell => cell.Trim().Replace(Hidden, '|'))];
    }
}
