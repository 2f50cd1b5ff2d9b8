namespace Qbb.Registry.Pages;

/// <summary>Small things that several pages show alike.</summary>
internal static class Pieces
{
    private const string NamePattern = "[A-Za-z0-9][A-Za-z0-9._\\-]*";

    /// <summary>A part of a page under its own heading.</summary>
    public static Markup Section(string title, Markup body, string? id = null) =>
        Markup.Of($"""<section id="{id ?? IdOf(title)}"><h2>{title}</h2>{body}</section>""");

    /// <summary>A part that the script brings up to date while something is under way.</summary>
    public static Markup Live(string id, Markup body) => Markup.Of($"""<div id="{id}" data-part>{body}</div>""");

    public static Markup State(PipelineState state) => Markup.Of($"""<span class="state {state}">{state}</span>""");

    /// <summary>A second line in small type; nothing where there is no text.</summary>
    public static Markup Note(string? text, bool isCut = false) =>
        string.IsNullOrEmpty(text) ? Markup.Empty : Markup.Of($"""<span class="note {(isCut ? "clamp" : "")}">{text}</span>""");

    /// <summary>What a reader should know first; nothing where there is no text.</summary>
    public static Markup Warning(string? text) => string.IsNullOrEmpty(text) ? Markup.Empty : Markup.Of($"""<p class="warning">{text}</p>""");

    public static Markup Alias(string alias) => Markup.Of($"""<span class="alias">{alias}</span>""");

    public static Markup Tag(string key, string value) => Markup.Of($"""<span class="tag">{key}{(value.Length > 0 ? ": " : "")}{value}</span>""");

    public static Markup Progress(double share, string label) => Markup.Of($"""
        <span class="progress"><progress max="1" value="{share:0.####}" aria-label="{label}"></progress> <span>{Numbers.Percent(share)}</span></span>
        """);

    /// <summary>A command to copy.</summary>
    public static Markup Command(string text) => Markup.Of($"""<pre class="command" tabindex="0"><code>{text}</code></pre>""");

    /// <summary>What to do where there is nothing yet.</summary>
    public static Markup Nothing(Markup body) => Markup.Of($"""<div class="nothing">{body}</div>""");

    public static Markup Digest(string digest) => Markup.Of($"""<code class="digest" title="{digest}">{digest[..Math.Min(12, digest.Length)]}</code>""");

    /// <summary>Figures that are worth a large type.</summary>
    public static Markup Tiles(IEnumerable<(string Label, Markup Value, Markup Note)> tiles) => Markup.Of(
        $"""<dl class="tiles">{tiles.Select(Tile)}</dl>""");

    public static Markup Facts(IEnumerable<(string Label, Markup Value)> facts) => Markup.Of(
        $"""<dl class="facts">{facts.Where(fact => fact.Value.Text.Length > 0).Select(Fact)}</dl>""");

    private static Markup Fact((string Label, Markup Value) fact) => Markup.Of($"<div><dt>{fact.Label}</dt><dd>{fact.Value}</dd></div>");

    private static Markup Tile((string Label, Markup Value, Markup Note) tile) =>
        Markup.Of($"""<div><dt>{tile.Label}</dt><dd>{tile.Value}<span class="note">{tile.Note}</span></dd></div>""");

    /// <summary>A field for a name of the kind that models, policies, aliases and keys have.</summary>
    public static Markup NameField(string id, string label, string example) => Markup.Of($"""
        <div><label for="{id}">{label}</label><input id="{id}" name="{id}" required maxlength="64" pattern="{NamePattern}"
        title="Letters, digits, dots, hyphens and underscores" placeholder="{example}"></div>
        """);

    public static Markup Text(string? text) => Markup.Of($"{text}");

    private static string IdOf(string title) => string.Concat(title.ToLowerInvariant().Select(letter => char.IsAsciiLetterOrDigit(letter) ? letter : '-'));
}
