using Qbb.Registry.Data;
using Qbb.Registry.Pages;
using Qbb.Registry.Pages.Charts;
using Qbb.Registry.Pipelines.Stages;
using static Qbb.Registry.Pages.Pieces;

namespace Qbb.Registry.Pipelines;

/// <summary>A pipeline, live: how far its stages are, what they took, what is wrong, what came of it.</summary>
internal static class PipelinePage
{
    public static async Task<IResult> Show(
        Guid id, HttpContext http, PipelineViews views, TimeProvider clock, CancellationToken cancellation)
    {
        var (row, pipeline) = await views.GetRowAsync(id, cancellation);
        var units = await views.NotableUnitsAsync(row, cancellation);
        var steps = PipelineSteps.Of(row, pipeline, clock.GetUtcNow());
        Markup[] body =
        [
            Live("state", Status(pipeline, clock.GetUtcNow())),
            Live("stages", Markup.Of($"{StageTrack.Of(steps)}{StageTrack.Times(steps)}")),
            Live("outcome", Outcome(pipeline)),
            Live("trouble", Trouble(units)),
            Live("curve", Curve(units)),
            Section("Details", Facts(About(pipeline, row))),
            Section("Recipe", RecipeView.Of(row.RecipeJson)),
            Section("Watch from the CLI", Markup.Of($"{Command($"qbb watch {id}{SiteAddress.Option(http)}")}")),
        ];
        return PageLayout.Page(http, new PageParts($"{pipeline.RecipeName ?? pipeline.Recipe[..12]} of {pipeline.Model}", Markup.Join(body))
        {
            Area = Area.Pipelines,
            Above = [("/pipelines", "Pipelines")],
            Heading = Markup.Of($"""{pipeline.RecipeName ?? pipeline.Recipe[..12]} of <a href="/models/{pipeline.Model}">{pipeline.Model}</a>"""),
            Events = row.HasEnded ? null : $"/api/pipelines/{id}/events",
        });
    }

    private static Markup Status(PipelineView pipeline, DateTimeOffset now)
    {
        var (id, isActive) = (pipeline.Id, !pipeline.State.HasEnded());
        var action = isActive ? Button(id, "cancel", "Cancel") : pipeline.State == PipelineState.Succeeded ? Markup.Empty : Button(id, "retry", "Retry");
        var error = (pipeline.Error, isActive) switch
        {
            (null, _) => Markup.Empty,
            (_, true) => Markup.Of($"""<p class="warning" role="alert">Retrying: {pipeline.Error}</p>"""),
            _ => Markup.Of($"""<p class="error" role="alert">{pipeline.Error}</p>"""),
        };
        var bar = pipeline.State == PipelineState.Succeeded ? Markup.Empty
            : Markup.Of($"""<div class="whole">{Progress(pipeline.Progress, "Progress of the whole")}</div>""");
        return Markup.Of($"""<div class="status"><p role="status">{State(pipeline.State)} {Sentence(pipeline, now)}</p>{action}</div>{bar}{error}{Warning(pipeline.Note)}""");
    }

    private static Markup Sentence(PipelineView pipeline, DateTimeOffset now) => pipeline.State switch
    {
        PipelineState.Queued when pipeline.Follows is { } leader =>
            Markup.Of($"""waiting for the result of <a href="/pipelines/{leader}">an identical run</a>"""),
        PipelineState.Running => Text(
            $"{Wire.NameOf(pipeline.Stage)}{(pipeline.Total > 0 ? $", {pipeline.Done} of {pipeline.Total}" : "")}; "
            + (pipeline.EtaSeconds is { } left ? $"about {Numbers.Duration(left)} left" : "no ETA yet")),
        PipelineState.Succeeded when pipeline is { StartedAt: { } started, EndedAt: { } ended } =>
            Markup.Of($"after {Numbers.Duration((ended - started).TotalSeconds)}, {Numbers.Ago(ended, now)}"),
        PipelineState.Failed or PipelineState.Cancelled => Markup.Of(
            $"at {pipeline.Stage}, {Numbers.Ago(pipeline.EndedAt, now)}; finished work is kept, and a retry resumes from there"),
        _ => Markup.Empty,
    };

    private static Markup Outcome(PipelineView pipeline) => pipeline.Result is not { } made ? Markup.Empty : Tiles(
    [
        ("Result", Markup.Of($"""<a href="/models/{made.Model}/versions/{made.Version}">version {made.Version}</a>"""), Text(made.Model)),
        ("Bits per weight", Text(FigureKind.Text(pipeline.Metrics, MetricNames.BitsPerWeight)), Text("of the quantized layers")),
        ("Perplexity", Text(FigureKind.Text(pipeline.Metrics, MetricNames.Perplexity)),
            Text($"teacher {FigureKind.Text(pipeline.Metrics, MetricNames.TeacherPerplexity)}")),
        ("KL divergence", Text(FigureKind.Text(pipeline.Metrics, MetricNames.Kl)), Text("per position, to the teacher")),
        ("Size", Text(FigureKind.Text(pipeline.Metrics, MetricNames.Bytes)), Text("configuration and weights")),
    ]);

    /// <summary>Units that failed and are not done.</summary>
    private static Markup Trouble(List<PipelineUnit> units)
    {
        var failed = units.Where(unit => unit.Error is not null && unit.Status != UnitStatus.Done).ToList();
        return failed.Count == 0 ? Markup.Empty : Section("Failing units", DataTable.Of(
            "Failing units", [new("Unit"), new("Failures", IsNumber: true), new("Error")],
            failed.Select(unit => new[]
            {
                Text($"{unit.Kind} {unit.Index + 1}"), Markup.Of($"{unit.Failures}"), Text(unit.Error),
            })));
    }

    /// <summary>The held-out divergence after each round of the distillation so far.</summary>
    private static Markup Curve(List<PipelineUnit> units)
    {
        var rounds = units.Where(unit => unit.Kind == DistilStage.Kind && unit.Report?.Kl is not null).ToList();
        if (rounds.Count < 2 || rounds[0].Report!.StartKl is not { } start)
            return Markup.Empty;
        List<(double, double)> points = [(0, start), .. rounds.Select(unit => (unit.Index + 1.0, unit.Report!.Kl!.Value))];
        return CurveChart.Of("KL divergence over rounds", points, null, "best KL so far (nats)", "0.0000", "round") is { } chart
            ? Section("Distillation", Markup.Of(
                $"<figure>{chart}<figcaption>On sequences that are held out of the training, after each round.</figcaption></figure>"))
            : Markup.Empty;
    }

    private static IEnumerable<(string, Markup)> About(PipelineView pipeline, Pipeline row) =>
    [
        ("Model", Markup.Of($"""<a href="/models/{pipeline.Model}/versions/{pipeline.Version}">{pipeline.Model} version {pipeline.Version}</a>""")),
        ("Recipe", Markup.Of($"{pipeline.RecipeName} {Digest(pipeline.Recipe)}")),
        ("Pipeline", Markup.Of($"<code>{pipeline.Id}</code>")),
        ("Requested", Numbers.Time(pipeline.CreatedAt)), ("Started", Numbers.Time(pipeline.StartedAt)), ("Ended", Numbers.Time(pipeline.EndedAt)),
        .. row.LeaderId is { } leader ? [("Follows", Markup.Of($"""<a href="/pipelines/{leader}">{leader}</a>"""))] : ((string, Markup)[])[],
    ];

    private static Markup Button(Guid id, string action, string label) =>
        Markup.Of($"""<form method="post" action="/pipelines/{id}/{action}"><button id="{action}">{label}</button></form>""");
}

/// <summary>A pipeline's stages with the time that each took.</summary>
internal static class PipelineSteps
{
    public static IReadOnlyList<StageTrack.Step> Of(Pipeline row, PipelineView pipeline, DateTimeOffset now)
    {
        var seconds = row.Times.GroupBy(time => UnitStages.Of(time.Kind).Stage)
            .ToDictionary(group => group.Key, group => group.Sum(time => time.Seconds));
        if (row.Status == PipelineStatus.Running && row.StartedAt is not null)
            seconds[pipeline.Stage] = seconds.GetValueOrDefault(pipeline.Stage) + Math.Max(0, (now - row.KindStartedAt).TotalSeconds);
        return [.. pipeline.Stages.Select(stage => new StageTrack.Step(
            stage.Name, row.HasEnded && stage.State == StageState.Waiting ? "not begun" : Wire.NameOf(stage.State), stage.Done, stage.Total,
            seconds.TryGetValue(stage.Name, out var took) ? took : null))];
    }
}
