using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Pipelines.Stages;

namespace Qbb.Registry.Pipelines;

/// <summary>How far a pipeline is.</summary>
internal static class PipelineProgress
{
    public static IReadOnlyList<StageView> Stages(Pipeline pipeline)
    {
        var kinds = pipeline.Route.Kinds().ToList();
        var current = pipeline.Status == PipelineStatus.Succeeded ? kinds.Count : kinds.IndexOf(pipeline.Kind);
        var began = pipeline.Issued > 0 || current > 0;
        return
        [
            .. kinds.Select((kind, index) => (Kind: kind, Index: index)).GroupBy(kind => UnitStages.Of(kind.Kind).Stage).Select(stage =>
            {
                var counts = stage.Select(kind => CountOf(pipeline, kind.Kind, kind.Index - current)).ToList();
                var state = stage.All(kind => kind.Index < current) ? StageState.Done
                    : began && stage.Any(kind => kind.Index <= current) ? Current(pipeline.Status) : StageState.Waiting;
                return new StageView(stage.Key, state, counts.Sum(count => count.Done), counts.Sum(count => count.Total));
            }),
        ];
    }

    private static StageState Current(PipelineStatus status) => status switch
    {
        PipelineStatus.Failed => StageState.Failed,
        PipelineStatus.Cancelled => StageState.Cancelled,
        _ => StageState.Running,
    };

    /// <summary>Share of the whole: of the time that its kinds of work are expected to take, or where that is not known of the kinds.</summary>
    public static double Share(Pipeline pipeline)
    {
        if (pipeline.Status == PipelineStatus.Succeeded)
            return 1;
        var kinds = pipeline.Route.Kinds();
        var current = kinds.TakeWhile(kind => kind != pipeline.Kind).Count();
        var share = pipeline.Total > 0 ? (double)pipeline.Done / pipeline.Total : 0;
        var (before, at, all) = (kinds.Take(current).Sum(Weight), Weight(pipeline.Kind), kinds.Sum(Weight));
        // Until the result is published it is not all.
        return Math.Min((before + at * share) / all, 0.99);

        double Weight(UnitKind kind) => pipeline.Forecast?[kind] ?? 1;
    }

    public static PipelineState StateOf(PipelineStatus status) => status switch
    {
        PipelineStatus.Created or PipelineStatus.Following => PipelineState.Queued,
        PipelineStatus.Running => PipelineState.Running,
        PipelineStatus.Succeeded => PipelineState.Succeeded,
        PipelineStatus.Failed => PipelineState.Failed,
        PipelineStatus.Cancelled => PipelineState.Cancelled,
        _ => throw new ArgumentOutOfRangeException(nameof(status), status, "unknown status"),
    };

    /// <summary>What a filter by state finds.</summary>
    /// <exception cref="RefusedException">There is no such state.</exception>
    public static PipelineStatus[] StatusesOf(string state)
    {
        var wanted = RefusedException.Parse<PipelineState>("state", state);
        return [.. Enum.GetValues<PipelineStatus>().Where(status => StateOf(status) == wanted)];
    }

    // Where it is behind the current kind, what it took says how many units there were.
    private static (int Done, int Total) CountOf(Pipeline pipeline, UnitKind kind, int fromCurrent)
    {
        if (fromCurrent == 0)
            return (pipeline.Done, pipeline.Total);
        var units = fromCurrent < 0 ? pipeline.Times.LastOrDefault(time => time.Kind == kind)?.Units ?? 0 : 0;
        return (units, units);
    }
}

/// <summary>How long a pipeline may still take.</summary>
internal static class TimeLeft
{
    // Shares of a kind, and of the whole, that outweigh what was forecast: units differ, and the first of them load models.
    private const double EnoughOfAKind = 0.2, EnoughOfAll = 0.1, EnoughOfAPlan = 0.02;

    /// <summary>
    /// The forecast, corrected by what this pipeline has shown: the kind at hand continues at its own rate the more, the more of it is done, and
    /// those behind it take as much more or less than expected as those before.
    /// </summary>
    /// <param name="pipeline">Null comes of one that does not run.</param>
    /// <param name="now">The time.</param>
    /// <param name="queued">Seconds until its turn comes, where the kind at hand waits behind others.</param>
    /// <returns>Null where nothing was measured yet, here or before.</returns>
    public static TimeSpan? Estimate(Pipeline pipeline, DateTimeOffset now, double queued = 0)
    {
        if (pipeline.Status != PipelineStatus.Running || pipeline.Forecast is not { } forecast)
            return null;
        var (elapsed, since) = (Seconds(pipeline.KindStartedAt), Seconds(pipeline.ActiveAt));
        var expected = forecast[pipeline.Kind];
        var (run, left) = (pipeline.Done - pipeline.Given, pipeline.Total - pipeline.Done);
        var share = pipeline.Total > 0 ? (double)run / pipeline.Total : 0;
        // What was expected of the work that is done, and what it took.
        var before = pipeline.Times.Where(time => time.WholeSeconds is not null && forecast[time.Kind] > 0).ToList();
        var seen = (Expected: before.Sum(time => forecast[time.Kind]) + expected * share, Took: before.Sum(time => time.WholeSeconds!.Value) + (run > 0 ? elapsed - since : 0));
        if (!forecast.IsMeasured && seen.Expected == 0)
            return null;
        var speed = Speed(seen.Expected, seen.Took, forecast);
        var later = pipeline.Route.After(pipeline.Kind).Sum(kind => forecast[kind]) * speed;
        return TimeSpan.FromSeconds(later + (run > 0 ? Between(Usual(), Own(), share / EnoughOfAKind) : queued > 0 ? queued + Usual() : Late(Usual(), elapsed)));

        double Seconds(DateTimeOffset from) => Math.Max(0, (now - from).TotalSeconds);

        // As forecast of what is left of the kind.
        double Usual() => expected * speed * (pipeline.Total > 0 ? (double)left / pipeline.Total : 1);

        // At the rate of the results so far, the last of which came a while ago.
        double Own()
        {
            var step = pipeline.Kind == DistilStage.Kind ? Math.Max(1, run / Math.Max(1, pipeline.Issued - 1)) : 1;
            var rate = (elapsed - since) / run;
            return since <= rate * step ? rate * left - since : elapsed / (run + step) * Math.Max(0, left - step) + Late(rate * step, since);
        }
    }

    // A unit does not say how far it is: one that is late takes a part of its time more.
    private static double Late(double expected, double elapsed) => Math.Max(expected - elapsed, elapsed / 10);

    /// <summary>How many times longer than expected the work takes.</summary>
    private static double Speed(double expected, double took, PipelineForecast forecast)
    {
        if (expected <= 0 || took <= 0)
            return 1;
        // A plan alone knows nothing of the machine.
        var enough = (forecast.IsMeasured ? EnoughOfAll : EnoughOfAPlan) * forecast.Kinds.Sum(kind => kind.Seconds);
        return Between(1, took / expected, expected / enough);
    }

    /// <summary>From one value to another by factors.</summary>
    private static double Between(double from, double to, double share) =>
        from <= 0 || to <= 0 || share >= 1 ? to : from * Math.Pow(to / from, share);
}
