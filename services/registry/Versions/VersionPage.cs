using System.Text.Json.Nodes;
using Microsoft.EntityFrameworkCore;
using Qbb.Registry.Data;
using Qbb.Registry.Pages;
using Qbb.Registry.Pages.Cards;
using Qbb.Registry.Pages.Charts;
using static Qbb.Registry.Pages.Pieces;

namespace Qbb.Registry.Versions;

/// <summary>A version: what it is, what it comes to, how it came about, and its files.</summary>
internal static class VersionPage
{
    private const int MostChildren = 30;

    public static async Task<IResult> Show(
        string name, string reference, HttpContext http, VersionDocuments documents, [AsParameters] VersionServices services)
    {
        var cancellation = services.Cancellation;
        var row = await services.Finder.VersionAsync(name, reference, cancellation);
        var version = await services.Views.OfVersionAsync(row.Id, cancellation);
        var metrics = await documents.JsonAsync(version, "metrics.json", cancellation);
        var card = await documents.TextAsync(version, "README.md", cancellation);
        Markup[] body =
        [
            Warning(version.Lineage?.Note),
            Outcome(version),
            Summary(version),
            Command($"qbb pull {name}@{version.Aliases.FirstOrDefault($"{version.Version}")} -o {name}-{version.Version}{SiteAddress.Option(http)}"),
            Exports(version),
            Figures(version),
            DistillationView.Of(metrics?["distillation"] as JsonObject),
            LayerMap.Of(metrics?["layers"] as JsonArray),
            await FamilyAsync(row.Id, version, services),
            version.Lineage is { } lineage ? Section("Recipe", RecipeView.Of(lineage.Choices)) : Markup.Empty,
            Architecture(await documents.JsonAsync(version, "config.json", cancellation)),
            Files(version),
            Section("Card", Markup.Of($"""<p><a href="/api/models/{name}/versions/{version.Version}/card">Model card</a> in Markdown, with results, lineage and how to load it.</p>""")),
            Section("Provenance", Markup.Of($"""
                <p><a href="/api/models/{name}/versions/{version.Version}/provenance">Statement</a> of everything that the version was created from, by digest. To check it:</p>
                {Command($"qbb verify {name}@{version.Version}{SiteAddress.Option(http)}")}
                """)),
            card is null ? Markup.Empty : Section("Model card", Markup.Of($"""<article class="prose">{MarkdownCard.Render(card, 2, name => AddressOf(version, name))}</article>""")),
            VersionForms.Make(version),
        ];
        return PageLayout.Page(http, new PageParts($"Version {version.Version}", Markup.Join(body))
        {
            Area = Area.Models,
            Above = [("/", "Models"), ($"/models/{name}", name)],
            Heading = Markup.Of(
                $"{name} version {version.Version} {version.Aliases.Select(Alias)}{version.Tags.Select(tag => Tag(tag.Key, tag.Value))}"),
        });
    }

    private static Markup Outcome(VersionView version)
    {
        string[] shown = [MetricNames.BitsPerWeight, MetricNames.Perplexity, MetricNames.Kl, MetricNames.Top1];
        var figures = shown.Where(version.Metrics.ContainsKey).Select(FigureKind.Of).ToList();
        var teacher = FigureKind.Text(version.Metrics, MetricNames.TeacherPerplexity);
        return figures.Count == 0 ? Markup.Empty : Tiles(
        [
            .. figures.Select(kind => (kind.Label, Text(kind.Text(version.Metrics[kind.Name])), Text(kind.Name switch
            {
                MetricNames.BitsPerWeight => "of the quantized layers",
                MetricNames.Perplexity when teacher.Length > 0 => $"teacher {teacher}",
                MetricNames.Kl => "per position, to the teacher",
                _ => "",
            }))),
            ("Size", Text(Numbers.Bytes(version.Bytes)), Text("all files")),
        ]);
    }

    private static Markup Summary(VersionView version)
    {
        var facts = new List<(string, Markup)>
        {
            ("Kind", Text(Wire.NameOf(version.Kind))),
            ("Size", Text($"{Numbers.Bytes(version.Bytes)} in {version.Files!.Count} files")),
            ("Created", Numbers.Time(version.CreatedAt)),
            ("Manifest", Markup.Of($"""<code class="digest">{version.Manifest}</code>""")),
        };
        if (version.Lineage is { } lineage)
        {
            var made = lineage.Parent;
            facts.Insert(1, ("Created from", Markup.Of($"""<a href="/models/{made.Model}/versions/{made.Version}">{made.Model} version {made.Version}</a>""")));
            facts.Insert(2, ("Recipe", Markup.Of($"{lineage.RecipeName} {Digest(lineage.Recipe)}")));
            if (lineage.Pipeline is { } pipeline)
                facts.Insert(3, ("Pipeline", Markup.Of($"""<a href="/pipelines/{pipeline}">{pipeline.ToString()[..13]}…</a>""")));
            var commit = lineage.Commit is { Length: > 0 } known ? Markup.Of($", commit {Digest(known)}") : Markup.Empty;
            facts.Add(("Program", Markup.Of($"qbb {lineage.ToolVersion}{commit}")));
            facts.AddRange(lineage.Data.Select(data => ($"Data {data.Key}", Digest(data.Value))));
        }
        return Facts(facts);
    }

    private static Markup Exports(VersionView version) => VersionCard.ExportCommands(version, $"{version.Model}-{version.Version}") is { Count: > 0 } commands
        ? Section("Exports", Command(string.Join('\n', commands))) : Markup.Empty;

    private static Markup Figures(VersionView version) => version.Metrics.Count == 0 ? Markup.Empty : Section("Metrics", DataTable.Of(
        "Metrics", [new("Metric"), new("Value", IsNumber: true), new("Meaning")],
        FigureKind.Among(version.Metrics.Keys).Select(kind => new[]
        {
            Text(kind.Label), Text(kind.Text(version.Metrics[kind.Name])), Markup.Of($"""<span class="quiet">{kind.Hint}</span>"""),
        })));

    private static async Task<Markup> FamilyAsync(Guid id, VersionView version, VersionServices services)
    {
        var related = await services.Views.ChildrenOf(id).Take(MostChildren).Select(child => child.Id).ToListAsync(services.Cancellation);
        if (version.Lineage is not null)
        {
            related.Insert(0, await services.Context.Lineages.AsNoTracking().Where(lineage => lineage.VersionId == id)
                .Select(lineage => lineage.ParentId).FirstAsync(services.Cancellation));
        }
        if (related.Count == 0)
            return Markup.Empty;
        var others = await services.Views.OfVersionsAsync(related, files: false, services.Cancellation);
        return Section("Lineage", LineageGraph.Of([.. others.Select(other => LineageGraph.Node.Of(other)), LineageGraph.Node.Of(version, "current")]));
    }

    private static Markup Architecture(JsonObject? config)
    {
        (string Member, string Label)[] members =
        [
            ("model_type", "Type"), ("num_hidden_layers", "Blocks"), ("hidden_size", "Width"), ("intermediate_size", "Width of the feed-forward part"),
            ("num_attention_heads", "Attention heads"), ("num_key_value_heads", "Key and value heads"), ("vocab_size", "Tokens"),
            ("max_position_embeddings", "Longest context"),
        ];
        var facts = members.Where(member => config?[member.Member] is JsonValue)
            .Select(member => (member.Label, Text(config![member.Member]!.ToString()))).ToList();
        return facts.Count < 3 ? Markup.Empty : Section("Architecture", Facts(facts));
    }

    private static Markup Files(VersionView version) => Section("Files", DataTable.Of(
        "Files", [new("Name"), new("Size", IsNumber: true), new("SHA-256"), new("Download")],
        version.Files!.Select(file => new[]
        {
            FilePage.CanShow(file)
                ? Markup.Of($"""<a class="strong" href="{ViewOf(version, file)}">{file.Name}</a>""")
                : Markup.Of($"""<span class="strong">{file.Name}</span>"""),
            Text(Numbers.Bytes(file.Size)), Markup.Of($"""<code class="digest whole">{file.Digest.Value}</code>"""),
            Markup.Of($"""<a href="{DownloadOf(version, file)}" download aria-label="Download {file.Name}">Download</a>"""),
        })));

    /// <summary>Where a card's link to a file leads: its page, or its download if it is not a short text.</summary>
    private static string? AddressOf(VersionView version, string name) => version.Files!.FirstOrDefault(file => file.Name == name) is { } file
        ? FilePage.CanShow(file) ? ViewOf(version, file) : DownloadOf(version, file)
        : null;

    private static string ViewOf(VersionView version, FileEntry file) =>
        $"/models/{version.Model}/versions/{version.Version}/view/{Escape(file.Name)}";

    private static string DownloadOf(VersionView version, FileEntry file) =>
        $"/api/models/{version.Model}/versions/{version.Version}/files/{Escape(file.Name)}";

    /// <summary>Where the forms of a version lead.</summary>
    public static SeeOther See(string name, int version) => new($"/models/{name}/versions/{version}#aliases");

    /// <summary>A file's name as part of an address.</summary>
    public static string Escape(string path) => string.Join('/', path.Split('/').Select(Uri.EscapeDataString));
}

/// <summary>What people can change about a version.</summary>
internal static class VersionForms
{
    public static Markup Make(VersionView version)
    {
        var place = $"/models/{version.Model}/versions/{version.Version}";
        var aliases = version.Aliases.Select(alias => Markup.Of($"""
            <li>{Alias(alias)} <form method="post" action="{place}/aliases/remove"><input type="hidden" name="alias" value="{alias}">
            <button class="plain" aria-label="Remove the alias {alias}">Remove</button></form></li>
            """));
        var tags = version.Tags.Select(tag => Markup.Of($"""
            <li>{Tag(tag.Key, tag.Value)} <form method="post" action="{place}/tags/remove"><input type="hidden" name="key" value="{tag.Key}">
            <button class="plain" aria-label="Remove the tag {tag.Key}">Remove</button></form></li>
            """));
        return Section("Aliases and tags", Markup.Of($"""
            <div class="cards">
            <div class="card"><h3>Aliases</h3><ul class="plainlist">{aliases}</ul>
            <form method="post" action="{place}/aliases" class="fields">{NameField("alias", "Alias", "production")}
            <div><button>Set alias</button></div></form></div>
            <div class="card"><h3>Tags</h3><ul class="plainlist">{tags}</ul>
            <form method="post" action="{place}/tags" class="fields">{NameField("key", "Key", "team")}
            <div><label for="value">Value</label><input id="value" name="value" maxlength="256" placeholder="red"></div>
            <div><button>Set the tag</button></div></form></div>
            </div>
            {Deletion(version, place)}
            """), "aliases");
    }

    private static Markup Deletion(VersionView version, string place) => version.Aliases.Count > 0
        ? Markup.Of($"""<p class="quiet">A version that has aliases cannot be deleted.</p>""")
        : Markup.Of($"""
            <details><summary>Delete this version</summary>
            <form method="post" action="{place}/delete"><p>It can be restored on the model’s page until garbage collection.</p>
            <button>Delete version {version.Version}</button></form></details>
            """);
}
