using Microsoft.EntityFrameworkCore;
using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Pages.Shared;
using Qbb.Registry.Pipelines;
using Qbb.Registry.Pipelines.Machine;
using static Qbb.Registry.Pages.Shared.Pieces;

namespace Qbb.Registry.Pages;

/// <summary>All pipelines, or those in one state.</summary>
internal static class PipelineListPage
{
    private static readonly PipelineState[] s_states =
        [PipelineState.Running, PipelineState.Queued, PipelineState.Succeeded, PipelineState.Failed, PipelineState.Cancelled];

    public static async Task<IResult> Show(
        string? state, Guid? after, HttpContext http, RegistryContext context, PipelineViews views, TimeProvider clock,
        CancellationToken cancellation)
    {
        var counts = await context.Pipelines.AsNoTracking().GroupBy(pipeline => pipeline.Status)
            .Select(group => new { group.Key, Count = group.Count() }).ToDictionaryAsync(group => group.Key, group => group.Count, cancellation);
        var found = context.Pipelines.AsNoTracking();
        if (!string.IsNullOrEmpty(state))
        {
            var wanted = PipelineProgress.StatusesOf(state);
            found = found.Where(pipeline => wanted.Contains(pipeline.Status));
        }
        if (after is { } last)
            found = found.Where(pipeline => pipeline.Id.CompareTo(last) < 0);
        var rows = await found.OrderByDescending(pipeline => pipeline.Id).Take(Paging.Usual + 1).ToListAsync(cancellation);
        var table = rows.Count == 0
            ? Nothing(Markup.Of($"""
                <p>{(string.IsNullOrEmpty(state) ? "None was started yet." : $"None is {state}.")}
                An upload starts those that the <a href="/policies">policies</a> ask for.</p>
                """))
            : PipelineTable.Of(await views.OfAsync([.. rows.Take(Paging.Usual)], cancellation), clock.GetUtcNow());
        var next = rows.Count > Paging.Usual
            ? Markup.Of($"""<p><a rel="next" href="/pipelines?state={state}&amp;after={rows[Paging.Usual - 1].Id}">Older ones</a></p>""")
            : Markup.Empty;
        return PageLayout.Page(http, new PageParts("Pipelines", Markup.Join([Live("pipelines", Markup.Join([Filters(state, counts), table])), next]))
        {
            Area = Area.Pipelines,
            IsLive = rows.Any(pipeline => !pipeline.HasEnded),
        });
    }

    private static Markup Filters(string? state, Dictionary<PipelineStatus, int> counts)
    {
        var all = s_states.Select(known => (
            Name: Wire.NameOf(known), Count: counts.Where(count => PipelineProgress.StateOf(count.Key) == known).Sum(count => count.Value))).ToList();
        var links = new[] { (Name: "all", Count: all.Sum(known => known.Count)) }.Concat(all).Select(link =>
        {
            var isCurrent = link.Name == (string.IsNullOrEmpty(state) ? "all" : state);
            var address = link.Name == "all" ? "/pipelines" : $"/pipelines?state={link.Name}";
            var current = isCurrent ? Markup.Of($" aria-current=\"true\"") : Markup.Empty;
            return Markup.Of($"""<li><a href="{address}"{current}>{link.Name} <span class="count">{link.Count}</span></a></li>""");
        });
        return Markup.Of($"""<nav class="pills" aria-label="By state"><ul>{links}</ul></nav>""");
    }
}
