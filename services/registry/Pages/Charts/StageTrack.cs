
namespace Qbb.Registry.Pages.Charts;

/// <summary>The stages of a pipeline in their order: what is done, what is under way, what is to come.</summary>
internal static class StageTrack
{
    /// <summary>A stage as it is shown.</summary>
    /// <param name="Name">The stage.</param>
    /// <param name="State">waiting, running, done, failed, cancelled or not begun.</param>
    /// <param name="Done">Units that are done.</param>
    /// <param name="Total">All of them; 0 while that is not known.</param>
    /// <param name="Seconds">How long it took, or takes already; null where it has not begun.</param>
    public sealed record Step(Stage Name, string State, int Done, int Total, double? Seconds);

    public static Markup Of(IReadOnlyList<Step> steps) => Markup.Of($"""<ol class="track" aria-label="Stages">{steps.Select(Item)}</ol>""");

    /// <summary>One bar for the whole time, a piece for each stage.</summary>
    public static Markup Times(IReadOnlyList<Step> steps)
    {
        var timed = steps.Where(step => step.Seconds is > 0).ToList();
        var all = timed.Sum(step => step.Seconds!.Value);
        if (timed.Count < 2 || all <= 0)
            return Markup.Empty;
        var start = 0.0;
        var (bars, keys) = (new List<Markup>(), new List<Markup>());
        foreach (var step in timed)
        {
            var (share, hue) = (step.Seconds!.Value / all, steps.ToList().IndexOf(step));
            var took = Numbers.Duration(step.Seconds.Value);
            bars.Add(Markup.Of($"""
                <rect class="hue{hue}" x="{1000 * start:0.#}" y="0" width="{Math.Max(2, 1000 * share - 2):0.#}" height="20"><title>{step.Name}: {took}</title></rect>
                """));
            keys.Add(Markup.Of($"""
                <li><svg class="key" viewBox="0 0 12 12" width="12" height="12" aria-hidden="true"><rect class="hue{hue}" width="12" height="12" rx="3"/></svg>
                {step.Name} <span class="quiet">{took}, {Numbers.Percent(share)}</span></li>
                """));
            start += share;
        }
        return Markup.Of($"""
            <figure class="times"><svg viewBox="0 0 1000 20" preserveAspectRatio="none" aria-hidden="true">{bars}</svg>
            <figcaption><ul class="keys">{keys}</ul></figcaption></figure>
            """);
    }

    private static Markup Item(Step step)
    {
        var units = (step.Done, step.Total) switch
        {
            (_, > 0) => $"{step.Done} of {step.Total}",
            _ => step.State is "done" ? "" : step.State,
        };
        var bar = step is { State: "running", Total: > 0 }
            ? Markup.Of($"""<progress max="{step.Total}" value="{step.Done}" aria-label="{step.Name}"></progress>""")
            : Markup.Empty;
        var current = step.State == "running" ? Markup.Of($" aria-current=\"step\"") : Markup.Empty;
        return Markup.Of($"""
            <li class="{step.State}"{current}><span class="name">{step.Name}</span><span class="unseen">: {step.State}</span>
            <span class="note">{units}</span>{bar}<span class="note">{(step.Seconds is { } seconds ? Numbers.Duration(seconds) : "")}</span></li>
            """);
    }
}
