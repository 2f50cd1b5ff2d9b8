using Markdig;
using Markdig.Extensions.EmphasisExtras;
using Markdig.Extensions.Tables;
using Markdig.Extensions.Yaml;
using Markdig.Helpers;
using Markdig.Renderers;
using Markdig.Renderers.Html;
using Markdig.Renderers.Html.Inlines;
using Markdig.Syntax;
using Markdig.Syntax.Inlines;

namespace Qbb.Registry.Pages.Cards;

/// <summary>
/// A model card as HTML. Cards come from strangers: HTML in them is shown as text, links go to http, https, files of the version and headings of
/// the card, pictures are replaced by their texts, and no style is written, which the site's policy forbids.
/// </summary>
internal static class MarkdownCard
{
    private const int MostCharacters = 200_000;
    private const string IdPrefix = "card-";

    private static readonly MarkdownPipeline s_pipeline = new MarkdownPipelineBuilder().DisableHtml().UseYamlFrontMatter().UsePipeTables().UseAutoLinks()
        .UseEmphasisExtras(EmphasisExtraOptions.Strikethrough).Build();

    /// <param name="text">Markdown, perhaps with YAML front matter.</param>
    /// <param name="level">Headings are this many levels below those of the card.</param>
    /// <param name="file">The address of a file of the version; null if the version has no such file.</param>
    public static Markup Render(string text, int level, Func<string, string?> file)
    {
        var shown = text.Length > MostCharacters ? text[..MostCharacters] : text;
        var cut = text.Length > MostCharacters ? Markup.Of($"""<p class="quiet">This card is truncated; see its file for the rest.</p>""") : Markup.Empty;
        return Markup.Of($"{Html(shown, level, file)}{cut}");
    }

    private static Markup Html(string text, int level, Func<string, string?> file)
    {
        var (parted, cost) = CardParts.Of(text);
        if (cost > CardParts.MostCost)
            return Plain(text);
        try
        {
            var card = Markdown.Parse(parted, s_pipeline);
            CardParts.Join(card);
            var ids = Adapt(card, level);
            using var writer = new StringWriter { NewLine = "\n" };
            var renderer = new HtmlRenderer(writer);
            s_pipeline.Setup(renderer);
            var links = new CardLinks(fragment => ids.Contains(IdPrefix + fragment) ? $"#{IdPrefix}{fragment}" : null, file);
            renderer.ObjectRenderers.RemoveAll(one => one is CodeBlockRenderer or HtmlTableRenderer or YamlFrontMatterHtmlRenderer
                or LinkInlineRenderer or AutolinkInlineRenderer);
            renderer.ObjectRenderers.InsertRange(0, [new FrontMatter(), new CodeBlockRenderer { OutputAttributesOnPre = true }, new WideTable(), links.Inline, links.Bare]);
            renderer.Render(card);
            return new Markup(writer.ToString());
        }
        catch (ArgumentException)
        {
            // Nested more deeply than Markdig allows.
            return Plain(text);
        }
    }

    private static Markup Plain(string text) => Markup.Of($"""<pre tabindex="0"><code>{text}</code></pre>""");

    /// <summary>Moves headings down, keeps their ids apart from those of the page, lets code be scrolled by keys; the ids of all headings.</summary>
    private static HashSet<string> Adapt(MarkdownDocument card, int level)
    {
        var ids = new HashSet<string>(StringComparer.Ordinal);
        var repeats = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (var block in card.Descendants<Block>())
        {
            switch (block)
            {
                case HeadingBlock heading:
                    heading.Level = Math.Min(6, heading.Level + level);
                    heading.GetAttributes().Id = IdOf(heading, ids, repeats);
                    break;
                case YamlFrontMatterBlock:
                    break;
                case CodeBlock code:
                    code.GetAttributes().AddProperty("tabindex", "0");
                    break;
            }
        }
        return ids;
    }

    // As GitHub names headings. Markdig's own extension takes quadratic time where many have the same words.
    private static string IdOf(HeadingBlock heading, HashSet<string> ids, Dictionary<string, int> repeats)
    {
        var words = string.Concat(heading.Inline?.Descendants().Select(inline => inline is CodeInline code ? code.Content : $"{(inline as LiteralInline)?.Content}") ?? []);
        var id = IdPrefix + LinkHelper.UrilizeAsGfm(words);
        var unique = id;
        while (!ids.Add(unique))
            unique = $"{id}-{repeats[id] = repeats.GetValueOrDefault(id) + 1}";
        return unique;
    }

    private sealed class FrontMatter : HtmlObjectRenderer<YamlFrontMatterBlock>
    {
        protected override void Write(HtmlRenderer renderer, YamlFrontMatterBlock block)
        {
            renderer.Write("""<pre class="front" tabindex="0"><code>""");
            renderer.WriteLeafRawLines(block, writeEndOfLines: false, escape: true);
            renderer.WriteLine("</code></pre>");
        }
    }

    // Markdig's own writes styles, and heads without words.
    private sealed class WideTable : HtmlObjectRenderer<Table>
    {
        protected override void Write(HtmlRenderer renderer, Table table)
        {
            renderer.Write("""<div class="wide" tabindex="0" role="group" aria-label="Table of the card"><table>""");
            foreach (var rows in table.OfType<TableRow>().GroupBy(row => row.IsHeader).Where(rows => !rows.Key || rows.Any(row => row.OfType<TableCell>().Any(HasText))))
            {
                var part = rows.Key ? "thead" : "tbody";
                renderer.Write($"<{part}>");
                foreach (var row in rows)
                    Write(renderer, table, row);
                renderer.Write($"</{part}>");
            }
            renderer.WriteLine("</table></div>");
        }

        private static void Write(HtmlRenderer renderer, Table table, TableRow row)
        {
            renderer.Write("<tr>");
            foreach (var (index, cell) in row.OfType<TableCell>().Index())
            {
                var tag = row.IsHeader && HasText(cell) ? "th" : "td";
                var isNumber = index < table.ColumnDefinitions.Count && table.ColumnDefinitions[index].Alignment == TableColumnAlign.Right;
                renderer.Write($"<{tag}{(tag == "th" ? " scope=\"col\"" : "")}{(isNumber ? " class=\"number\"" : "")}>");
                renderer.ImplicitParagraph = true;
                renderer.WriteChildren(cell);
                renderer.ImplicitParagraph = false;
                renderer.Write($"</{tag}>");
            }
            renderer.Write("</tr>");
        }

        private static bool HasText(TableCell cell) => cell.Descendants<LeafInline>().Any();
    }
}
