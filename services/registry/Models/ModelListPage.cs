using Qbb.Registry.Http;
using Qbb.Registry.Pages;
using Qbb.Registry.Pipelines;
using Qbb.Registry.Versions;
using static Qbb.Registry.Pages.Pieces;

namespace Qbb.Registry.Models;

/// <summary>All models, each with what its champion comes to and what is done with it.</summary>
internal static class ModelListPage
{
    private static readonly Column[] s_columns =
    [
        new("Model"), new("Champion"), new("Bits/weight", IsNumber: true), new("Perplexity", IsNumber: true), new("Teacher’s", IsNumber: true),
        new("Size", IsNumber: true), new("Versions", IsNumber: true), new("Work"), new("Created"),
    ];

    public static async Task<IResult> Show(
        string? q, string? after, HttpContext http, PipelineViews pipelines, [AsParameters] VersionServices services)
    {
        var (rows, last) = await ModelEndpoints.FindAsync(q, after, Paging.Usual, services);
        var champions = (await services.Views.OfVersionsAsync([.. rows.Select(row => row.Champion).OfType<Guid>()], files: false, services.Cancellation))
            .ToDictionary(version => version.Model);
        var work = (await pipelines.ActiveAsync([.. rows.Select(row => row.Model.Id)], services.Cancellation)).ToLookup(pipeline => pipeline.Model);
        var table = rows.Count == 0 ? Empty(q, http) : DataTable.Of("Models", s_columns,
            rows.Select(row => Row(row.View, champions.GetValueOrDefault(row.Model.Name), work[row.Model.Name], services.Clock.GetUtcNow())));
        var next = last is not null
            ? Markup.Of($"""<p><a rel="next" href="/?q={Uri.EscapeDataString(q ?? "")}&amp;after={last}">More models</a></p>""")
            : Markup.Empty;
        return PageLayout.Page(http, new PageParts("Models", Markup.Join([Filter(q), Live("models", table), next]))
        {
            Area = Area.Models,
            IsLive = work.Count > 0,
        });
    }

    private static Markup Filter(string? q) => Markup.Of($"""
        <form role="search" class="line"><label for="q">Name or description</label>
        <input id="q" name="q" type="search" value="{q}" maxlength="200"> <button>Filter</button>
        {(string.IsNullOrEmpty(q) ? Markup.Empty : Markup.Of($"""<a href="/">Show all</a>"""))}</form>
        """);

    private static Markup Empty(string? q, HttpContext http) => string.IsNullOrEmpty(q)
        ? Nothing(Markup.Of($"""
            <p>No models yet. Upload a Hugging Face folder or a GGUF file:</p>
            {Command("qbb push FOLDER --name NAME" + SiteAddress.Option(http))}
            <p><a href="/policies">Policies</a> decide what happens after an upload.</p>
            """))
        : Nothing(Markup.Of($"""<p>No model has “{q}” in its name or description.</p>"""));

    private static Markup[] Row(ModelView model, VersionView? champion, IEnumerable<PipelineView> work, DateTimeOffset now) =>
    [
        Markup.Of($"""<a class="strong" href="/models/{model.Name}">{model.Name}</a>{Note(model.Description, isCut: true)}"""),
        champion is null ? Markup.Empty
            : Markup.Of($"""<a href="/models/{model.Name}/versions/{champion.Version}">version {champion.Version}</a>{Note(champion.Lineage?.RecipeName)}"""),
        Text(FigureKind.Text(champion?.Metrics, MetricNames.BitsPerWeight)),
        Text(FigureKind.Text(champion?.Metrics, MetricNames.Perplexity)),
        Text(FigureKind.Text(champion?.Metrics, MetricNames.TeacherPerplexity)),
        Text(champion is null ? "" : Numbers.Bytes(champion.Bytes)),
        Markup.Of($"{model.Versions}"),
        Markup.Join(work.Take(3).Select(Work)),
        Numbers.Ago(model.CreatedAt, now),
    ];

    private static Markup Work(PipelineView pipeline)
    {
        var name = pipeline.RecipeName ?? pipeline.Recipe[..8];
        return Markup.Of($"""
            <a class="work" href="/pipelines/{pipeline.Id}">{name}: {(pipeline.State == PipelineState.Queued ? Wire.NameOf(pipeline.State) : Wire.NameOf(pipeline.Stage))}</a>
            {Progress(pipeline.Progress, $"Progress of {pipeline.Model}, {name}")}
            """);
    }
}
