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
        if (!IsInteractive(output))
            return work(Lines(title));
        T result = default!;
        Bars(output).Start(context => result = work(Bar(context, title)));
        return result;
    }

    /// <summary>The same of work that waits.</summary>
    public static Task<T> RunAsync<T>(Output output, string title, Func<Action<double, double, string>, Task<T>> work) =>
        IsInteractive(output) ? Bars(output).StartAsync(context => work(Bar(context, title))) : work(Lines(title));

    private static bool IsInteractive(Output output) => output.Status.Profile.Capabilities.Interactive && !Console.IsErrorRedirected;

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
