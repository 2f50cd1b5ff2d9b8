using System.Text.RegularExpressions;

namespace Qbb.Registry.Pages.Cards;

/// <summary>What stands within a line of Markdown: code, strong and stressed words, links to http and https.</summary>
internal static partial class InlineMarkdown
{
    private const int MostDepth = 4;

    public static Markup Render(string text, int depth = 0)
    {
        var parts = new List<Markup>();
        var next = 0;
        try
        {
            for (var found = Pattern().Match(text); found.Success; found = found.NextMatch())
            {
                parts.Add(Markup.Of($"{text[next..found.Index]}"));
                parts.Add(depth >= MostDepth ? Markup.Of($"{found.Value}") : One(found, depth + 1));
                next = found.Index + found.Length;
            }
        }
        catch (RegexMatchTimeoutException)
        {
            // Made to take long: the rest stands as it is written.
        }
        parts.Add(Markup.Of($"{text[next..]}"));
        return Markup.Join(parts);
    }

    private static Markup One(Match found, int depth)
    {
        if (found.Groups["code"] is { Success: true } code)
            return Markup.Of($"<code>{code.Value.Trim()}</code>");
        if (found.Groups["strong"] is { Success: true } strong)
            return Markup.Of($"<strong>{Render(strong.Value, depth)}</strong>");
        if (found.Groups["stress"] is { Success: true } stress)
            return Markup.Of($"<em>{Render(stress.Value, depth)}</em>");
        if (found.Groups["picture"] is { Success: true } picture)
            return Markup.Of($"""<span class="quiet">[picture: {picture.Value}]</span>""");
        var address = found.Groups["address"].Success ? found.Groups["address"].Value : found.Groups["bare"].Value;
        var words = found.Groups["words"].Success ? Render(found.Groups["words"].Value, depth) : Markup.Of($"{address}");
        // Whoever wrote the card must not learn who reads it, nor have the page run what an address can hold.
        return Uri.TryCreate(address, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https"
            ? Markup.Of($"""<a href="{uri.AbsoluteUri}" rel="nofollow noopener noreferrer">{words}</a>""")
            : words;
    }

    // Lengths are bounded: what is never closed must not be looked for to the end, again and again.
    [GeneratedRegex(
        """
        (?<ticks>`{1,2})(?<code>[^\n]{1,400}?)\k<ticks>
        |\*\*(?<strong>[^*\n]{1,400})\*\*
        |(?<![\w*])[*_](?<stress>[^\s*_][^*_\n]{0,400})[*_](?![\w*])
        |!\[(?<picture>[^\]\n]{0,400})\]\([^)\n]{0,800}\)
        |\[(?<words>[^\]\n]{1,400})\]\((?<address>[^)\s]{1,800})[^)\n]{0,200}\)
        |<(?<bare>https?://[^\s<>]{1,800})>
        |(?<bare>https?://[^\s<>()`|]{1,800}[^\s<>()`|.,;:!?'"])
        """,
        RegexOptions.IgnorePatternWhitespace | RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Pattern();
}
