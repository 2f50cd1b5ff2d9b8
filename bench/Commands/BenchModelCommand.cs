using System.CommandLine;
using System.Text.Json.Nodes;
using Qbb.Bench.Shapes;
using Qbb.Cli.Commands;
using Qbb.Cli.Terminal;
using Qbb.Recipes;

namespace Qbb.Bench.Commands;

/// <summary><c>qbb-bench model</c>: what <c>make bench</c> prints.</summary>
internal sealed class BenchModelCommand : QbbCommand
{
    private readonly Argument<string> _model = SharedOptions.Model();
    private readonly Option<int?> _threads = SharedOptions.Threads();
    private readonly Option<int> _context = new("--context") { Description = "Tokens of the window that is scored.", DefaultValueFactory = _ => 512 };
    private readonly Option<int> _repeats = new("--repeats") { Description = "Timed runs of each figure; the median is printed.", DefaultValueFactory = _ => 5 };

    private readonly Option<string[]> _only = new("--only") { Description = "Measure only this; may be given several times." };

    public BenchModelCommand() : base("model", "Measures decomposition, scoring and generation on this machine.", "qbb-bench model MODEL --context 2048", "qbb-bench model MODEL --json")
    {
        Arguments.Add(_model);
        Options.Add(_threads);
        Options.Add(_context);
        Options.Add(_repeats);
        _only.AcceptOnlyFromAmong([.. ModelBench.Parts]);
        Options.Add(_only);
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        var threads = SharedOptions.ApplyThreads(parsed.GetValue(_threads));
        var bench = new ModelBench(
            parsed.GetRequiredValue(_model), parsed.GetRequiredValue(_context), parsed.GetRequiredValue(_repeats), threads,
            parsed.GetValue(_only) ?? []);
        var figures = ProgressBars.Run(output, "measuring", report => bench.Run((done, total, what) => report(done, total, what), cancel));
        output.Result(new JsonObject
        {
            ["threads"] = threads,
            ["libtorch"] = Natives.Version.ToString(),
            ["figures"] = FigureTable.Json(figures),
        }, screen =>
        {
            FigureTable.Print(screen, figures, "median");
            Console.Out.WriteLine($"{threads} threads, libtorch {Natives.Version}");
        });
    }
}
