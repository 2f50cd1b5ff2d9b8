using Microsoft.EntityFrameworkCore;
using Qbb.Registry.Aliases;
using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Pages;
using Qbb.Registry.Pages.Charts;
using Qbb.Registry.Pipelines;
using Qbb.Registry.Versions;
using static Qbb.Registry.Pages.Pieces;

namespace Qbb.Registry.Models;

/// <summary>A model: its champion, what its versions cost and keep, how they came about, and what is done with it.</summary>
internal static class ModelPage
{
    private const int MostGraph = 40;
    private const string CompareForm = "compare";

    public static async Task<IResult> Show(
        string name, string? sort, HttpContext http, PipelineViews pipelines, Champions champions, [AsParameters] VersionServices services)
    {
        var (context, cancellation, now) = (services.Context, services.Cancellation, services.Clock.GetUtcNow());
        var model = await services.Finder.ModelAsync(name, cancellation);
        var versions = await services.Views.OfVersionsAsync(
            context.Versions.Where(version => version.ModelId == model.Id && version.DeletedAt == null).OrderByDescending(version => version.Number).Take(Paging.Most), cancellation);
        var work = (await pipelines.ListAsync(name, state: null, after: null, Paging.Usual, cancellation)).Items;
        var order = SortOrder.Parse(sort, VersionTable.Usual, key => $"/models/{name}?sort={key}#versions");
        Markup[] body =
        [
            About(model),
            Live("summary", Summary(model.Name, versions, http)),
            Live("pictures", Pictures(versions)),
            Section("Versions", Live("version-list", Versions(versions, order, now, name))),
            Section("Gate", await GateEndpoints.SectionAsync(model, versions, champions, cancellation)),
            Section("Pipelines", Live("pipeline-list", work.Count > 0
                ? PipelineTable.Of(work, now)
                : Nothing(Markup.Of($"<p>No pipelines yet.</p>")))),
            await QuantizeForm.MakeAsync(model, versions, context, cancellation),
            await DeletedAsync(model, services),
        ];
        return PageLayout.Page(http, new PageParts(name, Markup.Join(body))
        {
            Area = Area.Models,
            Above = [("/", "Models")],
            IsLive = work.Any(pipeline => !pipeline.State.HasEnded()),
        });
    }

    private static Markup About(Model model) => Markup.Of($"""
        {(model.Description.Length > 0 ? Markup.Of($"""<p class="lead">{model.Description}</p>""") : Markup.Empty)}
        <details class="edit"><summary>{(model.Description.Length > 0 ? "Change the description" : "Describe it")}</summary>
        <form method="post" action="/models/{model.Name}/description"><label for="description">Description</label>
        <textarea id="description" name="description" rows="3" maxlength="10000">{model.Description}</textarea> <button>Save</button></form></details>
        """);

    private static Markup Summary(string name, IReadOnlyList<VersionView> versions, HttpContext http)
    {
        if (versions.FirstOrDefault(version => version.Aliases.Contains(Data.Alias.Champion)) is not { } champion)
            return Nothing(Markup.Of($"<p>No version is the champion yet: the first that passes the gate will be.</p>"));
        var teacher = FigureKind.Text(champion.Metrics, MetricNames.TeacherPerplexity);
        return Markup.Of($"""
            {Tiles(
            [
                ("Champion", Markup.Of($"""<a href="/models/{name}/versions/{champion.Version}">version {champion.Version}</a>"""),
                    VersionTable.RecipeOf(champion)),
                ("Bits per weight", Text(FigureKind.Text(champion.Metrics, MetricNames.BitsPerWeight)), Text("of the quantized layers")),
                ("Perplexity", Text(FigureKind.Text(champion.Metrics, MetricNames.Perplexity)), Text(teacher.Length > 0 ? $"teacher {teacher}" : "")),
                ("KL divergence", Text(FigureKind.Text(champion.Metrics, MetricNames.Kl)), Text("per position, to the teacher")),
                ("Size", Text(Numbers.Bytes(champion.Bytes)), Text(Shrunk(champion, versions))),
            ])}
            {Command($"qbb pull {name}@champion -o {name}-champion{SiteAddress.Option(http)}")}
            """);
    }

    private static string Shrunk(VersionView champion, IReadOnlyList<VersionView> versions) =>
        champion.Lineage?.Parent is { } made
        && versions.FirstOrDefault(version => version.Model == made.Model && version.Version == made.Version) is { } parent
            ? $"{Numbers.Format((double)parent.Bytes / champion.Bytes, "0.0")} times smaller than version {parent.Version}"
            : "all files";

    private static Markup Versions(IReadOnlyList<VersionView> versions, SortOrder order, DateTimeOffset now, string name)
    {
        if (versions.Count == 0)
            return Nothing(Markup.Of($"<p>No versions yet.</p>"));
        var form = versions.Count < 2 ? Markup.Empty
            : Markup.Of($"""<form id="{CompareForm}" action="/models/{name}/compare"><button>Compare selected</button></form>""");
        var rest = versions.Count < Paging.Most ? Markup.Empty
            : Markup.Of($"""<p>The newest {versions.Count} are shown; <a href="/search?q={name}">search</a> finds all.</p>""");
        return Markup.Of($"{VersionTable.Of(versions, order, now, form: versions.Count < 2 ? null : CompareForm)}{form}{rest}");
    }

    private static Markup Pictures(IReadOnlyList<VersionView> versions)
    {
        if (versions.Count is < 2 or > MostGraph)
            return Markup.Empty;
        var graph = Section("Lineage", LineageGraph.Of([.. versions.OrderBy(version => version.Version).Select(version => LineageGraph.Node.Of(version))]));
        var chart = TradeOffChart.Of(versions) is { } points
            ? Section("Size vs. quality", Markup.Of($"""
                <figure>{points}<figcaption>Every point is a version; the line connects the best perplexity at each size (the Pareto front).</figcaption></figure>
                """))
            : Markup.Empty;
        return Markup.Of($"""<div class="figures">{chart}{graph}</div>""");
    }

    /// <summary>Deleted versions that can still be restored.</summary>
    private static async Task<Markup> DeletedAsync(Model model, VersionServices services)
    {
        var deleted = await services.Context.Versions.AsNoTracking()
            .Where(version => version.ModelId == model.Id && version.DeletedAt != null && version.PurgedAt == null)
            .OrderBy(version => version.Number).Take(Paging.Usual).Select(version => new { version.Number, version.DeletedAt })
            .ToListAsync(services.Cancellation);
        var items = deleted.Select(version => Markup.Of($"""
            <li>version {version.Number}, deleted {Numbers.Ago(version.DeletedAt, services.Clock.GetUtcNow())}
            <form method="post" action="/models/{model.Name}/versions/{version.Number}/restore"><button class="plain">Restore version {version.Number}</button></form></li>
            """));
        return deleted.Count == 0 ? Markup.Empty
            : Section("Deleted", Markup.Of($"""<p>They can be restored until garbage collection.</p><ul class="plainlist">{items}</ul>"""));
    }
}
