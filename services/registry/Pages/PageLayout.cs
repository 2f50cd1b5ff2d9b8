using System.Net.Mime;
using System.Text;
using Qbb.Registry.Data;

namespace Qbb.Registry.Pages;

/// <summary>The frame around every page.</summary>
internal static class PageLayout
{
    private static readonly (Area Area, string Address, string Name)[] s_areas =
    [
        (Area.Models, "/", "Models"), (Area.Pipelines, "/pipelines", "Pipelines"), (Area.Policies, "/policies", "Policies"),
        (Area.Search, "/search", "Search"), (Area.Mlflow, "/mlflow", "MLflow"), (Area.Interface, "/interface", "API"),
    ];

    public static IResult Page(HttpContext http, PageParts page)
    {
        http.Response.Headers.CacheControl = "no-store";
        return Results.Content(Write(page).Text, MediaTypeNames.Text.Html, Encoding.UTF8, page.Status);
    }

    public static Markup Write(PageParts page)
    {
        var links = s_areas.Select(area => Markup.Of(
            $"""<li><a href="{area.Address}"{(area.Area == page.Area ? Markup.Of($" aria-current=\"page\"") : Markup.Empty)}>{area.Name}</a></li>"""));
        var isLive = page.IsLive || page.Events is not null;
        var live = isLive ? Markup.Of($"""<script src="{Assets.Address("live.js")}" defer></script>""") : Markup.Empty;
        var events = page.Events is { } address ? Markup.Of($" data-events=\"{address}\"") : Markup.Empty;
        var refresh = isLive ? Markup.Of($" data-refresh=\"5\"") : Markup.Empty;
        var again = isLive ? Markup.Of($"""<noscript><p><a href="">Refresh</a> to see how far it is.</p></noscript>""") : Markup.Empty;
        return Markup.Of($"""
            <!doctype html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta name="color-scheme" content="light dark">
            <title>{page.Title} · qbb</title>
            <link rel="icon" href="{Assets.Address("icon.svg")}" type="image/svg+xml">
            <link rel="stylesheet" href="{Assets.Address("site.css")}">
            <script src="{Assets.Address("copy.js")}" defer></script>
            {live}
            </head>
            <body>
            <a class="skip" href="#main">Skip to content</a>
            <header class="bar"><div class="inner">
            <a class="brand" href="/"><img src="{Assets.Address("icon.svg")}" alt="" width="28" height="28"> qbb</a>
            <nav aria-label="Main"><ul>{links}</ul></nav>
            </div></header>
            <main id="main" tabindex="-1"{events}{refresh}>
            {Crumbs(page)}
            <h1>{page.Heading ?? Markup.Of($"{page.Title}")}</h1>
            {again}
            {page.Body}
            </main>
            <footer><div class="inner">qbb {Tool.Version} · <a href="/health/ready">health</a> · <a href="/docs">API reference</a> · <a href="/openapi/v1.json">OpenAPI</a></div></footer>
            </body>
            </html>
            """);
    }

    private static Markup Crumbs(PageParts page) => page.Above.Count == 0 ? Markup.Empty : Markup.Of($"""
        <nav class="crumbs" aria-label="Breadcrumb"><ol>
        {page.Above.Select(above => Markup.Of($"""<li><a href="{above.Address}">{above.Name}</a></li>"""))}
        <li aria-current="page">{page.Title}</li></ol></nav>
        """);
}

/// <summary>What a page has of its own.</summary>
/// <param name="Title">For the window, and the heading where there is no other.</param>
/// <param name="Body">What follows the heading.</param>
internal sealed record PageParts(string Title, Markup Body)
{
    /// <summary>The area of the site that is marked as the current one.</summary>
    public Area Area { get; init; }

    /// <summary>What stands in the heading instead of the title.</summary>
    public Markup? Heading { get; init; }

    /// <summary>The pages above this one, by address and name.</summary>
    public IReadOnlyList<(string Address, string Name)> Above { get; init; } = [];

    /// <summary>The stream of events that says when the page is to be read again; null for none.</summary>
    public string? Events { get; init; }

    /// <summary>Something is under way: the page is read again every few seconds.</summary>
    public bool IsLive { get; init; }

    public int Status { get; init; } = StatusCodes.Status200OK;
}

/// <summary>The parts of the site, as the navigation names them.</summary>
internal enum Area
{
    None,
    Models,
    Pipelines,
    Policies,
    Search,
    Mlflow,
    Interface,
}
