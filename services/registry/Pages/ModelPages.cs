using Microsoft.EntityFrameworkCore;
using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Models;
using Qbb.Registry.Pipelines;
using static Qbb.Registry.Pages.PageLayout;

namespace Qbb.Registry.Pages;

/// <summary>Models and versions in a browser.</summary>
internal static class ModelPages
{
    public static async Task<IResult> List(
        string? q, string? after, HttpContext http, RegistryContext context, Views views, CancellationToken cancellation)
    {
        var found = context.Models.AsNoTracking().Where(model => model.DeletedAt == null);
        if (!string.IsNullOrEmpty(q))
            found = found.Where(model => model.Name.Contains(q) || model.Description.Contains(q));
        if (after is not null)
            found = found.Where(model => string.Compare(model.Name, after) > 0);
        var rows = await found.OrderBy(model => model.Name).Take(Paging.Usual + 1).ToListAsync(cancellation);
        var shown = await views.OfAsync([.. rows.Take(Paging.Usual)], cancellation);
        var table = Table("Models", ["Name", "Description", "Versions", "Champion", "Made"],
        [
            .. shown.Select(model => Markup.Of($"""<tr><th scope="row"><a href="/models/{model.Name}">{model.Name}</a></th><td>{model.Description}</td><td class="number">{model.Versions}</td><td>{Champion(model)}</td><td>{Time(model.CreatedAt)}</td></tr>""")),
        ], "There is no model yet. Upload one: qbb push FOLDER --name NAME");
        var next = rows.Count > Paging.Usual
            ? Markup.Of($"""<p><a rel="next" href="/?q={Uri.EscapeDataString(q ?? "")}&amp;after={shown[^1].Name}">More</a></p>""")
            : Markup.Empty;
        var search = Markup.Of($"""<form role="search"><label for="q">Name or description</label> <input id="q" name="q" type="search" value="{q}"> <button>Search</button></form>""");
        return Page(http, "Models", Markup.Join([search, table, next]));
    }

    public static async Task<IResult> Show(
        string name, HttpContext http, RegistryContext context, ModelFinder finder, Views views, PipelineViews pipelines, CancellationToken cancellation)
    {
        var model = await finder.ModelAsync(name, cancellation);
        var ids = await context.Versions.AsNoTracking().Where(version => version.ModelId == model.Id && version.DeletedAt == null)
            .OrderByDescending(version => version.Number).Take(Paging.Most).Select(version => version.Id).ToListAsync(cancellation);
        var versions = await views.OfVersionsAsync(ids, files: false, cancellation);
        var running = await context.Pipelines.AsNoTracking().Where(pipeline => pipeline.ModelId == model.Id)
            .OrderByDescending(pipeline => pipeline.Id).Take(Paging.Usual).ToListAsync(cancellation);
        var table = Table("Versions", ["Version", "Aliases", "Recipe", "Bits/weight", "Perplexity", "KL", "Size", "Made"],
            [.. versions.Select(VersionRow)], "There is no version.");
        var work = Table("Pipelines", PipelinePages.Columns, [.. (await pipelines.OfAsync(running, cancellation)).Select(PipelinePages.Row)], "None was started.");
        return Page(http, name, Markup.Of($"<p>{model.Description}</p>{table}{work}"));
    }

    public static async Task<IResult> ShowVersion(
        string name, string reference, HttpContext http, ModelFinder finder, Views views, CancellationToken cancellation)
    {
        var version = await views.OfVersionAsync((await finder.VersionAsync(name, reference, cancellation)).Id, cancellation);
        var facts = new List<(string, Markup)>
        {
            ("Manifest", Markup.Of($"<code>{version.Manifest}</code>")),
            ("Aliases", Markup.Of($"{string.Join(", ", version.Aliases)}")),
            ("Size", Markup.Of($"{Bytes(version.Bytes)}")),
            ("Made", Time(version.CreatedAt)),
        };
        if (version.Lineage is { } lineage)
        {
            facts.Add(("Made from", Markup.Of($"""<a href="/models/{lineage.Parent.Model}/versions/{lineage.Parent.Version}">{lineage.Parent.Model} version {lineage.Parent.Version}</a>""")));
            facts.Add(("Recipe", Markup.Of($"{lineage.RecipeName} <code>{lineage.Choices.GetRawText()}</code>")));
            if (lineage.Pipeline is { } pipeline)
                facts.Add(("Pipeline", Markup.Of($"""<a href="/pipelines/{pipeline}">{pipeline}</a>""")));
            facts.Add(("Program", Markup.Of($"{lineage.ToolVersion} {lineage.Commit}")));
        }
        facts.AddRange(version.Tags.Select(tag => ("Tag " + tag.Key, Markup.Of($"{tag.Value}"))));
        var list = Markup.Join(facts.Select(fact => Markup.Of($"<dt>{fact.Item1}</dt><dd>{fact.Item2}</dd>")));
        var metrics = Table("Figures", ["Name", "Value"],
            [.. version.Metrics.Select(metric => Markup.Of($"""<tr><th scope="row">{metric.Key}</th><td class="number">{Figure(version.Metrics, metric.Key)}</td></tr>"""))], "There are none.");
        var files = Table("Files", ["Name", "Size", "SHA-256"],
        [
            .. version.Files!.Select(file => Markup.Of($"""<tr><th scope="row"><a href="/api/models/{name}/versions/{version.Version}/files/{Escape(file.Name)}">{file.Name}</a></th><td class="number">{Bytes(file.Size)}</td><td><code>{file.Digest.Value}</code></td></tr>""")),
        ], "There are none.");
        return Page(http, $"{name} version {version.Version}", Markup.Of($"""<p><a href="/models/{name}">{name}</a></p><dl>{list}</dl>{metrics}{files}"""));
    }

    private static Markup VersionRow(VersionView version) => Markup.Of(
        $"""<tr><th scope="row"><a href="/models/{version.Model}/versions/{version.Version}">{version.Version}</a></th><td>{string.Join(", ", version.Aliases)}</td><td>{version.Lineage?.RecipeName ?? (version.Kind == VersionKind.Upload ? "upload" : version.Lineage?.Recipe[..12])}</td><td class="number">{Figure(version.Metrics, MetricNames.BitsPerWeight)}</td><td class="number">{Figure(version.Metrics, MetricNames.Perplexity)}</td><td class="number">{Figure(version.Metrics, MetricNames.Kl)}</td><td class="number">{Bytes(version.Bytes)}</td><td>{Time(version.CreatedAt)}</td></tr>""");

    private static Markup Champion(ModelView model) => model.Aliases.TryGetValue(Alias.Champion, out var number)
        ? Markup.Of($"""<a href="/models/{model.Name}/versions/{number}">version {number}</a>""")
        : Markup.Empty;

    private static string Escape(string path) => string.Join('/', path.Split('/').Select(Uri.EscapeDataString));
}
