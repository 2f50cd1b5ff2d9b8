using System.Diagnostics;
using Spectre.Console;

namespace Qbb.Cli.Terminal;

/// <summary>
/// One bar with the time left on a terminal; elsewhere (a log file) a line every ten seconds. Both on stderr, so results stay alone on stdout.
/// </summary>
internal static class ProgressBars
{
    /// <summary>Runs <paramref name="work"/>, which reports (done of total, what is at hand).</summary>
    public static T Run<T>(Output output, string title, Func<Action<double, double, string>, T> work)
    {
        if (!output.Status.Profile.Capabilities.Interactive || Console.IsErrorRedirected)
            return work(Lines(title));
        T result = default!;
        output.Status.Progress().AutoClear(true).HideCompleted(true)
            .Columns(new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn())
            .Start(context =>
            {
                var task = context.AddTask(Markup.Escape(title));
                result = work((done, total, what) =>
                {
                    task.MaxValue = total;
                    task.Value = done;
                    task.Description = Markup.Escape(what.Length == 0 ? title : $"{title}: {what}");
                });
            });
        return result;
    }

    private static Action<double, double, string> Lines(string title)
    {
        var watch = Stopwatch.StartNew();
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
