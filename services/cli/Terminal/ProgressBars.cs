using System.Diagnostics;
using Qbb.Checkpoints;
using Spectre.Console;

namespace Qbb.Cli.Terminal;

/// <summary>
/// One bar with the time left on a terminal; elsewhere (a log file) a line every ten seconds. Both on stderr, so results stay alone on stdout.
/// Where the work hashes files first, that is a bar of its own.
/// </summary>
internal static class ProgressBars
{
    private const string Hashing = "hashing";

    /// <summary>Runs <paramref name="work"/>, which reports (done of total, what is at hand).</summary>
    public static T Run<T>(Output output, string title, Func<Action<double, double, string>, T> work)
    {
        if (!output.IsInteractive)
        {
            var watch = Stopwatch.StartNew();
            using var lines = FileHashes.Listen(HashingLines(watch));
            return work(Lines(title, watch));
        }
        T result = default!;
        Bars(output).Start(context =>
        {
            using var heard = FileHashes.Listen(HashingBar(context));
            result = work(Bar(context, title));
        });
        return result;
    }

    /// <summary>The same of work that waits.</summary>
    public static async Task<T> RunAsync<T>(Output output, string title, Func<Action<double, double, string>, Task<T>> work)
    {
        if (output.IsInteractive)
        {
            return await Bars(output).StartAsync(async context =>
            {
                using var heard = FileHashes.Listen(HashingBar(context));
                return await work(Bar(context, title));
            });
        }
        var watch = Stopwatch.StartNew();
        using var lines = FileHashes.Listen(HashingLines(watch));
        return await work(Lines(title, watch));
    }

    /// <summary>A model's digest, which takes a while the first time.</summary>
    public static string Digest(Output output, ModelSource model, CancellationToken cancel) =>
        Run(output, Hashing, _ => ModelDigest.Compute(model, cancel));

    private static Progress Bars(Output output) => output.Status.Progress().AutoClear(true).HideCompleted(true)
        .Columns(new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn());

    private static Action<double, double, string> Bar(ProgressContext context, string title)
    {
        var task = context.AddTask(Markup.Escape(title));
        return (done, total, what) =>
        {
            task.MaxValue = total;
            task.Value = done;
            task.Description = Markup.Escape(what.Length == 0 ? title : $"{title}: {what}");
        };
    }

    // A bar that appears with the first report: most files are remembered.
    private static Action<double, double, string> HashingBar(ProgressContext context)
    {
        Action<double, double, string>? bar = null;
        return (done, total, what) => (bar ??= Bar(context, Hashing))(done, total, what);
    }

    // What follows takes its time left from its own pace.
    private static Action<double, double, string> HashingLines(Stopwatch following)
    {
        var lines = Lines(Hashing, Stopwatch.StartNew());
        return (done, total, what) =>
        {
            lines(done, total, what);
            following.Restart();
        };
    }

    private static Action<double, double, string> Lines(string title, Stopwatch watch)
    {
        var next = 2.0;
        return (done, total, what) =>
        {
            var seconds = watch.Elapsed.TotalSeconds;
            if (seconds < next || done <= 0)
                return;
            next = seconds + 10;
            var left = TimeSpan.FromSeconds(seconds / done * (total - done));
            Console.Error.WriteLine($"{title}{(what.Length == 0 ? "" : $": {what}")}  {100 * done / total:0} %, {left:h\\:mm\\:ss} left");
        };
    }
}
