using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using Qbb.Bench.Figures;
using Qbb.Bench.Serving;
using Qbb.Cli.Commands;
using Qbb.Cli.Terminal;
using Qbb.Models;

namespace Qbb.Bench.Commands;

/// <summary><c>qbb-bench serve</c>: how a served model answers many at once.</summary>
internal sealed class BenchServeCommand : AsyncCommand
{
    private const ulong Seed = 1;
    private readonly Argument<string> _model = SharedOptions.Model();
    private readonly Option<int> _parallel = new("--parallel") { Description = "Requests at once.", DefaultValueFactory = _ => 8 };
    private readonly Option<int> _tokens = new("--tokens") { Description = "Tokens of each answer.", DefaultValueFactory = _ => 128 };
    private readonly Option<int> _rounds = new("--rounds") { Description = "Rounds, of which the median counts.", DefaultValueFactory = _ => 3 };
    private readonly Option<int> _threads = new("--threads") { Description = "CPU threads of the server.", DefaultValueFactory = _ => Environment.ProcessorCount };
    private readonly Option<int?> _soak = new("--soak") { Description = "Instead of the speed: seconds for which clients come and go." };
    private readonly Option<int> _clients = new("--clients") { Description = "With --soak: clients at once.", DefaultValueFactory = _ => 200 };

    public BenchServeCommand() : base("serve", "Measures requests at once against one after another, or what many clients that come and go leave behind.",
        "qbb-bench serve OUT", "qbb-bench serve OUT --soak 300")
    {
        Arguments.Add(_model);
        foreach (var option in new Option[] { _parallel, _tokens, _rounds, _threads, _soak, _clients })
            Options.Add(option);
    }

    protected override async Task RunAsync(ParseResult parsed, Output output, CancellationToken cancel)
    {
        var (parallel, soak) = (Positive(_parallel), parsed.GetValue(_soak));
        if (soak < 10)
            throw new InvalidInputException($"--soak is {soak}; it must be at least 10 (seconds)");
        string[] speed = soak is null ? ["--cache-tokens", "0"] : [];
        using var server = new ServerProcess(["serve", parsed.GetRequiredValue(_model), "--device", "cpu", "--parallel", Text(parallel), "--threads", Text(Positive(_threads)), .. speed]);
        var bench = new ServeBench(server, Seed);
        var figures = soak is { } seconds
            ? await ProgressBars.RunAsync(output, "soaking", report => bench.SoakAsync(Positive(_clients), TimeSpan.FromSeconds(seconds), report, cancel))
            : await bench.SpeedAsync(parallel, Positive(_tokens), Positive(_rounds), cancel);
        output.Result(new JsonObject { ["figures"] = FigureTable.Json(figures), ["seed"] = Seed }, screen => FigureTable.Print(screen, figures, "measured"));

        int Positive(Option<int> option) => parsed.GetRequiredValue(option) is var value && value > 0 ? value : throw new InvalidInputException($"{option.Name} is {value}; it must be at least 1");

        static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
    }
}
