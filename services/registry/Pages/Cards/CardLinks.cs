using Markdig.Renderers;
using Markdig.Renderers.Html;
using Markdig.Syntax.Inlines;

namespace Qbb.Registry.Pages.Cards;

/// <summary>The links of a card. What leads elsewhere than http, https, a heading or a file of the version is shown as its text.</summary>
/// <param name="heading">The address of a heading, from a fragment without #; null if the card has no such heading.</param>
/// <param name="file">The address of a file of the version; null if the version has no such file.</param>
internal sealed class CardLinks(Func<string, string?> heading, Func<string, string?> file)
{
    // A bare link within the words of another: HTML has no link in a link.
    private bool _isOpen;

    public HtmlObjectRenderer<LinkInline> Inline => new InlineLink(this);

    public HtmlObjectRenderer<AutolinkInline> Bare => new BareLink(this);

    /// <summary>Where a link leads; null where it may lead nowhere.</summary>
    private string? Resolve(string? url)
    {
        if (string.IsNullOrEmpty(url) || _isOpen)
            return null;
        if (url[0] == '#')
            return heading(Uri.UnescapeDataString(url[1..]));
        if (Uri.TryCreate(url, UriKind.Absolute, out var uri))
            return uri.Scheme is "http" or "https" ? uri.AbsoluteUri : null;
        var path = url.Split('#', '?')[0];
        return file(Uri.UnescapeDataString(path.StartsWith("./", StringComparison.Ordinal) ? path[2..] : path));
    }

    // Whoever wrote the card must not learn who reads it.
    private static void Open(HtmlRenderer renderer, string address) =>
        renderer.Write("<a href=\"").WriteEscape(address).Write("\" rel=\"nofollow noopener noreferrer\">");

    private sealed class InlineLink(CardLinks links) : HtmlObjectRenderer<LinkInline>
    {
        protected override void Write(HtmlRenderer renderer, LinkInline link)
        {
            if (link.IsImage)
            {
                renderer.Write("<span class=\"quiet\">[picture: ");
                var was = renderer.EnableHtmlForInline;
                renderer.EnableHtmlForInline = false;
                renderer.WriteChildren(link);
                renderer.EnableHtmlForInline = was;
                renderer.Write("]</span>");
            }
            else if (renderer.EnableHtmlForInline && links.Resolve(link.GetDynamicUrl?.Invoke() ?? link.Url) is { } address)
            {
                Open(renderer, address);
                links._isOpen = true;
                renderer.WriteChildren(link);
                links._isOpen = false;
                renderer.Write("</a>");
            }
            else
            {
                renderer.WriteChildren(link);
            }
        }
    }

    private sealed class BareLink(CardLinks links) : HtmlObjectRenderer<AutolinkInline>
    {
        protected override void Write(HtmlRenderer renderer, AutolinkInline link)
        {
            var address = link.IsEmail || !renderer.EnableHtmlForInline ? null : links.Resolve(link.Url);
            if (address is not null)
                Open(renderer, address);
            renderer.WriteEscape(link.Url);
            if (address is not null)
                renderer.Write("</a>");
        }
    }
}
