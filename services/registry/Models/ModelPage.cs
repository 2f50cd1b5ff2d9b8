using Microsoft.EntityFrameworkCore;
using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Models;
using Qbb.Registry.Pages.Charts;
using Qbb.Registry.Pages.Shared;
using Qbb.Registry.Pipelines;
using static Qbb.Registry.Pages.Shared.Pieces;

namespace Qbb.Registry.Pages;

/// <summary>A model: its champion, what its versions cost and keep, how they came about, and what is done with it.</summary>
internal static class ModelPage
{
    private const int MostGraph = 40;
    private const string CompareForm = "compare";

    public static async Task<IResult> Show(
        string name, string? sort, HttpContext http, RegistryContext context, ModelFinder finder, Views views, PipelineViews pipelines,
        Champions champions, TimeProvider clock, CancellationToken cancellation)
    {
        var model = await finder.ModelAsync(name, cancellation);
        var ids = await context.Versions.AsNoTracking().Where(version => version.ModelId == model.Id && version.DeletedAt == null)
            .OrderByDescending(version => version.Number).Take(Paging.Most).Select(version => version.Id).ToListAsync(cancellation);
        var versions = await views.OfVersionsAsync(ids, files: false, cancellation);
        var rows = await context.Pipelines.AsNoTracking().Where(pipeline => pipeline.ModelId == model.Id)
            .OrderByDescending(pipeline => pipeline.Id).Take(Paging.Usual).ToListAsync(cancellation);
        var now = clock.GetUtcNow();
        var order = SortOrder.Parse(sort, VersionTable.Usual, key => $"/models/{name}?sort={key}#versions");
        Markup[] body =
        [
            About(model),
            Live("summary", Summary(model.Name, versions, http)),
            Live("pictures", Pictures(versions)),
            Section("Versions", Live("version-list", Versions(versions, order, now, name))),
            Section("Gate", await GateAsync(model, versions, champions, cancellation)),
            Section("Pipelines", Live("pipeline-list", rows.Count > 0
                ? PipelineTable.Of(await pipelines.OfAsync(rows, cancellation), now)
                : Nothing(Markup.Of($"<p>None was started.</p>")))),
            await QuantizeForm.MakeAsync(model, versions, context, cancellation),
            await DeletedVersions.MakeAsync(model, context, now, cancellation),
        ];
        return PageLayout.Page(http, new PageParts(name, Markup.Join(body))
        {
            Area = Area.Models,
            Above = [("/", "Models")],
            IsLive = rows.Any(pipeline => !pipeline.HasEnded),
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
        if (versions.FirstOrDefault(version => version.Aliases.Contains(Models.Alias.Champion)) is not { } champion)
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
            return Nothing(Markup.Of($"<p>There is no version.</p>"));
        var form = versions.Count < 2 ? Markup.Empty
            : Markup.Of($"""<form id="{CompareForm}" action="/models/{name}/compare"><button>Compare those that are ticked</button></form>""");
        var rest = versions.Count < Paging.Most ? Markup.Empty
            : Markup.Of($"""<p>The newest {versions.Count} are shown; <a href="/search?q={name}">search</a> finds all.</p>""");
        return Markup.Of($"{VersionTable.Of(versions, order, now, form: versions.Count < 2 ? null : CompareForm)}{form}{rest}");
    }

    private static Markup Pictures(IReadOnlyList<VersionView> versions)
    {
        if (versions.Count is < 2 or > MostGraph)
            return Markup.Empty;
        var graph = Section("Lineage", LineageGraph.Of([.. versions.OrderBy(version => version.Version).Select(version => Node(version, ""))]));
        var chart = TradeOffChart.Of(versions) is { } points
            ? Section("What smaller costs", Markup.Of($"""
                <figure>{points}<figcaption>Every point is a version; the line joins those that no other beats in both size and perplexity.</figcaption></figure>
                """))
            : Markup.Empty;
        return Markup.Of($"""<div class="figures">{chart}{graph}</div>""");
    }

    /// <summary>A version as a box of the graph.</summary>
    public static LineageGraph.Node Node(VersionView version, string style)
    {
        var isChampion = version.Aliases.Contains(Models.Alias.Champion);
        var figure = FigureKind.Text(version.Metrics, MetricNames.Perplexity);
        string?[] notes =
        [
            isChampion ? "champion" : null, version.Lineage is null ? "upload" : figure.Length > 0 ? $"ppl {figure}" : null, Numbers.Bytes(version.Bytes),
        ];
        return new(
            $"{version.Model}@{version.Version}", $"/models/{version.Model}/versions/{version.Version}",
            $"{version.Model} v{version.Version}", string.Join(", ", notes.OfType<string>()),
            version.Lineage is { } lineage ? $"{lineage.Parent.Model}@{lineage.Parent.Version}" : null,
            version.Lineage?.RecipeName ?? version.Lineage?.Recipe[..8] ?? "", isChampion ? "champion " + style : style);
    }

    private static async Task<Markup> GateAsync(Model model, IReadOnlyList<VersionView> versions, Champions champions, CancellationToken cancellation)
    {
        var gate = await champions.GateOfAsync(model, cancellation);
        string[] limits =
        [
            .. gate.MaxPerplexityRatio is { } ratio ? [$"perplexity at most {Numbers.Format(ratio, "0.###")} times the teacher’s"] : (string[])[],
            .. gate.MaxKl is { } kl ? [$"KL at most {Numbers.Format(kl, "0.####")} nats"] : (string[])[],
            .. gate.MaxBitsPerWeight is { } bits ? [$"at most {Numbers.Format(bits, "0.###")} bits per weight"] : (string[])[],
        ];
        var refused = versions.Where(version => version.Kind == VersionKind.Quantized)
            .Select(version => (version.Version, Reason: ChampionRule.Refusal(gate, version.Metrics)))
            .Where(version => version.Reason is not null)
            .Select(version => Markup.Of($"<li>version {version.Version}: {version.Reason}</li>")).ToList();
        return Markup.Of($"""
            <p>The champion is the version of the lowest KL divergence among those with
            {(limits.Length > 0 ? string.Join(", ", limits) : "an evaluation; there are no limits")}.</p>
            {(refused.Count > 0 ? Markup.Of($"<p>These do not pass:</p><ul>{refused}</ul>") : Markup.Empty)}
            """);
    }
}
