using Qbb.Registry.Pages.Shared;
using static Qbb.Registry.Pages.Shared.Pieces;

namespace Qbb.Registry.Pages;

/// <summary>Pipelines, the newest first.</summary>
internal static class PipelineTable
{
    private static readonly Column[] s_columns =
        [new("Recipe"), new("Model"), new("State"), new("Progress"), new("Result"), new("Took", IsNumber: true), new("Asked for")];

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
            {Note(Wire.NameOf(pipeline.Stage) + (pipeline.EtaSeconds is { } left ? $", about {Numbers.Duration(left)} left" : ""))}
            """),
        PipelineState.Queued => Note("waits for another of the same recipe"),
        _ => Note($"stopped at {Wire.NameOf(pipeline.Stage)}"),
    };
}
