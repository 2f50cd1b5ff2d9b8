using System.CommandLine;
using System.Text.Json.Nodes;
using Qbb.Cli.Benchmarks;
using Qbb.Cli.Terminal;
using Qbb.Recipes;
using Qbb.Torch;

namespace Qbb.Cli.Commands;

/// <summary><c>qbb bench</c>: what <c>make bench</c> prints.</summary>
internal sealed class BenchCommand : QbbCommand
{
    private readonly Argument<string> _model = SharedOptions.Model();
    private readonly Option<int?> _threads = SharedOptions.Threads();
    private readonly Option<int> _context = new("--context") { Description = "Tokens of the window that is scored.", DefaultValueFactory = _ => 512 };
    private readonly Option<int> _repeats = new("--repeats") { Description = "Timed runs of each figure; the median is printed.", DefaultValueFactory = _ => 5 };

    private readonly Option<string[]> _only = new("--only") { Description = "Measure only this; may be given several times." };

    public BenchCommand() : base("bench", "Measures decomposition, scoring and generation on this machine.", "qbb bench MODEL --context 2048", "qbb bench MODEL --json")
    {
        Arguments.Add(_model);
        Options.Add(_threads);
        Options.Add(_context);
        Options.Add(_repeats);
        _only.AcceptOnlyFromAmong([.. Bench.Parts]);
        Options.Add(_only);
        Subcommands.Add(new BenchDecomposeCommand());
        Subcommands.Add(new BenchSampleCommand());
        Subcommands.Add(new BenchDistillCommand());
        Subcommands.Add(new BenchKernelsCommand());
        Subcommands.Add(new BenchDecodeCommand());
        Subcommands.Add(new BenchTransferCommand());
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        var threads = SharedOptions.ApplyThreads(parsed.GetValue(_threads));
        if (torch.slow_blas() is { } slow)
            output.Warning(slow);
        var bench = new Bench(
            parsed.GetRequiredValue(_model), parsed.GetRequiredValue(_context), parsed.GetRequiredValue(_repeats), threads,
            parsed.GetValue(_only) ?? []);
        var figures = ProgressBars.Run(output, "measuring", report => bench.Run((done, total, what) => report(done, total, what), cancel));
        output.Result(new JsonObject
        {
            ["threads"] = threads,
            ["libtorch"] = torch.version,
            ["figures"] = FigureTable.Json(figures),
        }, screen =>
        {
            FigureTable.Print(screen, figures, "median");
            Console.Out.WriteLine($"{threads} threads, libtorch {torch.version}");
        });
    }
}
