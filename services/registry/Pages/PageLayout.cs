using System.Globalization;
using System.Net.Mime;
using System.Text;

namespace Qbb.Registry.Pages;

/// <summary>What all pages share.</summary>
internal static class PageLayout
{
    // Pages need nothing from elsewhere, and no other page may put them in a frame.
    private const string Policy =
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

    public static IResult Page(HttpContext http, string title, Markup body, bool live = false)
    {
        http.Response.Headers.ContentSecurityPolicy = Policy;
        http.Response.Headers.XContentTypeOptions = "nosniff";
        http.Response.Headers["Referrer-Policy"] = "same-origin";
        http.Response.Headers.CacheControl = "no-store";
        var script = live ? Markup.Of($"""<script src="/assets/live.js" defer></script>""") : Markup.Empty;
        return Results.Content(Markup.Of($"""
            <!doctype html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <title>{title} · qbb</title>
            <link rel="stylesheet" href="/assets/site.css">
            {script}
            </head>
            <body>
            <a class="skip" href="#main">Skip to content</a>
            <header><nav aria-label="Main"><a href="/">Models</a> <a href="/pipelines">Pipelines</a> <a href="/openapi/v1.json">API</a></nav></header>
            <main id="main">
            <h1>{title}</h1>
            {body}
            </main>
            </body>
            </html>
            """).Text, MediaTypeNames.Text.Html, Encoding.UTF8);
    }

    /// <summary>A table with a caption; a sentence instead where there are no rows.</summary>
    public static Markup Table(string caption, string[] columns, IReadOnlyList<Markup> rows, string empty)
    {
        if (rows.Count == 0)
            return Markup.Of($"<h2>{caption}</h2><p>{empty}</p>");
        var heads = Markup.Join(columns.Select(column => Markup.Of($"""<th scope="col">{column}</th>""")));
        return Markup.Of($"""<div class="wide" role="region" aria-label="{caption}" tabindex="0"><table><caption>{caption}</caption><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>""");
    }

    public static Markup Time(DateTimeOffset? time) => time is { } at
        ? Markup.Of($"""<time datetime="{at:yyyy-MM-ddTHH:mm:ssZ}">{at:yyyy-MM-dd HH:mm}</time>""")
        : Markup.Empty;

    public static string Bytes(long bytes) => bytes switch
    {
        < 1 << 10 => $"{bytes} B",
        < 1 << 20 => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1024.0:0.0} KiB"),
        < 1L << 30 => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1048576.0:0.0} MiB"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1073741824.0:0.00} GiB"),
    };

    public static string Figure(IReadOnlyDictionary<string, double>? metrics, string name) =>
        metrics is not null && metrics.TryGetValue(name, out var value) ? value.ToString("G5", CultureInfo.InvariantCulture) : "";
}
