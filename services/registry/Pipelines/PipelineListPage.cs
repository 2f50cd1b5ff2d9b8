using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Pages;
using static Qbb.Registry.Pages.Pieces;

namespace Qbb.Registry.Pipelines;

/// <summary>All pipelines, or those in one state.</summary>
internal static class PipelineListPage
{
    private static readonly PipelineState[] s_states =
        [PipelineState.Running, PipelineState.Queued, PipelineState.Succeeded, PipelineState.Failed, PipelineState.Cancelled];

    public static async Task<IResult> Show(
        string? state, Guid? after, HttpContext http, PipelineViews views, TimeProvider clock, CancellationToken cancellation)
    {
        state = string.IsNullOrEmpty(state) ? null : state;
        var counts = await views.CountAsync(cancellation);
        var page = await views.ListAsync(model: null, state, after, Paging.Usual, cancellation);
        var table = page.Items.Count == 0
            ? Nothing(Markup.Of($"""
                <p>{(state is null ? "No pipelines yet." : $"No pipelines are {state}.")}
                <a href="/policies">Policies</a> decide which ones an upload starts.</p>
                """))
            : PipelineTable.Of(page.Items, clock.GetUtcNow());
        var next = page.Next is { } last
            ? Markup.Of($"""<p><a rel="next" href="/pipelines?state={state}&amp;after={last}">Older ones</a></p>""")
            : Markup.Empty;
        return PageLayout.Page(http, new PageParts("Pipelines", Markup.Join([Live("pipelines", Markup.Join([Filters(state, counts), table])), next]))
        {
            Area = Area.Pipelines,
            IsLive = page.Items.Any(pipeline => !pipeline.State.HasEnded()),
        });
    }

    private static Markup Filters(string? state, IReadOnlyDictionary<PipelineStatus, int> counts)
    {
        var all = s_states.Select(known => (
            Name: Wire.NameOf(known), Count: counts.Where(count => PipelineProgress.StateOf(count.Key) == known).Sum(count => count.Value))).ToList();
        var links = new[] { (Name: "all", Count: all.Sum(known => known.Count)) }.Concat(all).Select(link =>
        {
            var isCurrent = link.Name == (state ?? "all");
            var address = link.Name == "all" ? "/pipelines" : $"/pipelines?state={link.Name}";
            var current = isCurrent ? Markup.Of($" aria-current=\"true\"") : Markup.Empty;
            return Markup.Of($"""<li><a href="{address}"{current}>{link.Name} <span class="count">{link.Count}</span></a></li>""");
        });
        return Markup.Of($"""<nav class="pills" aria-label="By state"><ul>{links}</ul></nav>""");
    }
}

/// <summary>Pipelines, the newest first.</summary>
internal static class PipelineTable
{
    private static readonly Column[] s_columns =
        [new("Recipe"), new("Model"), new("State"), new("Progress"), new("Result"), new("Took", IsNumber: true), new("Requested")];

    public static Markup Of(IEnumerable<PipelineView> pipelines, DateTimeOffset now) =>
        DataTable.Of("Pipelines", s_columns, pipelines.Select(pipeline => Row(pipeline, now)));

    private static Markup[] Row(PipelineView pipeline, DateTimeOffset now) =>
    [
        Markup.Of($"""<a class="strong" href="/pipelines/{pipeline.Id}">{pipeline.RecipeName ?? pipeline.Recipe[..12]}</a>"""),
        Markup.Of($"""
            <a href="/models/{pipeline.Model}">{pipeline.Model}</a>
            <a class="quiet" href="/models/{pipeline.Model}/versions/{pipeline.Version}">version {pipeline.Version}</a>
            """),
        State(pipeline.State),
        Work(pipeline),
        pipeline.Result is { } made
            ? Markup.Of($"""<a href="/models/{made.Model}/versions/{made.Version}">version {made.Version}</a>""")
            : Note(pipeline.Error, isCut: true),
        Text(pipeline.StartedAt is { } started ? Numbers.Duration(((pipeline.EndedAt ?? now) - started).TotalSeconds) : ""),
        Numbers.Ago(pipeline.CreatedAt, now),
    ];

    private static Markup Work(PipelineView pipeline) => pipeline.State switch
    {
        PipelineState.Succeeded => Markup.Empty,
        PipelineState.Running => Markup.Of($"""
            {Progress(pipeline.Progress, $"Progress of {pipeline.Model}, {pipeline.RecipeName}")}
            {Note(Wire.NameOf(pipeline.Stage) + (pipeline.Ahead > 0 ? $", {pipeline.Ahead} units ahead" : "") + (pipeline.EtaSeconds is { } left ? $", about {Numbers.Duration(left)} left" : ""))}
            """),
        PipelineState.Queued => Note("waiting for an identical run"),
        _ => Note($"stopped at {Wire.NameOf(pipeline.Stage)}"),
    };
}
