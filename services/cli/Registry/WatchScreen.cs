using System.Collections.Concurrent;
using System.Diagnostics;
using Qbb.Cli.Terminal;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace Qbb.Cli.Registry;

/// <summary>
/// Pipelines under way: a bar for each on a terminal; elsewhere (a log file) a line at every new stage and every ten seconds. Both on stderr.
/// </summary>
internal sealed class WatchScreen(Output output, IRegistryApi registry)
{
    private static readonly TimeSpan s_quiet = TimeSpan.FromSeconds(10);

    /// <returns>The pipelines as they ended, in the order given.</returns>
    public Task<PipelineView[]> RunAsync(IReadOnlyList<PipelineView> pipelines, CancellationToken cancel) =>
        output.IsInteractive ? BarsAsync(pipelines, cancel) : LinesAsync(pipelines, cancel);

    private Task<PipelineView[]> BarsAsync(IReadOnlyList<PipelineView> pipelines, CancellationToken cancel)
    {
        var left = new LeftColumn();
        return output.Status.Progress().AutoClear(true)
            .Columns(new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn(), new PercentageColumn(), left)
            .StartAsync(screen => Task.WhenAll(pipelines.Select(pipeline =>
            {
                var task = screen.AddTask(Markup.Escape(PipelineStage.Name(pipeline)), maxValue: 1);
                return FollowAsync(pipeline, state =>
                {
                    task.Value = state.Progress;
                    task.Description = Markup.Escape($"{PipelineStage.Name(state)}: {PipelineStage.Text(state)}");
                    left.Texts[task.Id] = PipelineStage.Left(state);
                }, cancel);
            })));
    }

    private Task<PipelineView[]> LinesAsync(IReadOnlyList<PipelineView> pipelines, CancellationToken cancel)
    {
        var watch = Stopwatch.StartNew();
        var told = new ConcurrentDictionary<Guid, (string Stage, TimeSpan At)>();
        return Task.WhenAll(pipelines.Select(pipeline =>
        {
            return FollowAsync(pipeline, state =>
            {
                var stage = $"{state.State} {state.Stage}";
                if (told.TryGetValue(pipeline.Id, out var last) && last.Stage == stage && watch.Elapsed - last.At < s_quiet)
                    return;
                told[pipeline.Id] = (stage, watch.Elapsed);
                var left = PipelineStage.Left(state);
                output.Note($"{PipelineStage.Name(state)}: {PipelineStage.Text(state)}  {100 * state.Progress:0} %{(left.Length > 0 ? $", {left}" : "")}");
            }, cancel);
        }));
    }

    private Task<PipelineView> FollowAsync(PipelineView pipeline, Action<PipelineView> report, CancellationToken cancel) =>
        new Watching(registry, report).RunAsync(pipeline.Id, cancel);

    /// <summary>The time left, as the registry estimates it: it knows what earlier pipelines took.</summary>
    private sealed class LeftColumn : ProgressColumn
    {
        /// <summary>By task.</summary>
        public ConcurrentDictionary<int, string> Texts { get; } = new();

        public override IRenderable Render(RenderOptions options, ProgressTask task, TimeSpan deltaTime) => new Text(Texts.GetValueOrDefault(task.Id, ""));
    }
}
