using System.CommandLine;
using System.Text.Json.Nodes;
using Qbb.Bench.Lists;
using Qbb.Cli.Commands;
using Qbb.Cli.Terminal;
using Qbb.Models;

namespace Qbb.Bench.Commands;

/// <summary><c>qbb-bench lists</c>: how long the registry's first pages take.</summary>
internal sealed class BenchListsCommand : QbbCommand
{
    private readonly Option<int> _models = Count("--models", "Models in the registry.", 10_000);
    private readonly Option<int> _versions = Count("--versions", "Versions of all of them.", 100_000);
    private readonly Option<int> _pipelines = Count("--pipelines", "Running pipelines, which 100 clients watch.", 50);
    private readonly Option<string[]> _settings = new("--set")
    {
        Description = "A setting of the registry, as in qbb up, such as Database:Provider=postgres.",
        AllowMultipleArgumentsPerToken = true,
    };

    public BenchListsCommand() : base("lists", "Measures the first pages of a registry with many models, on SQLite unless it is set otherwise.",
        "qbb-bench lists --models 10000 --versions 100000 --pipelines 50")
    {
        foreach (var option in new Option[] { _models, _versions, _pipelines, _settings })
            Options.Add(option);
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        var sizes = new ListSizes(parsed.GetRequiredValue(_models), parsed.GetRequiredValue(_versions), parsed.GetRequiredValue(_pipelines));
        if (sizes.Models < 1 || sizes.Versions < sizes.Models || sizes.Pipelines < 1)
            throw new InvalidInputException("--models and --pipelines must be at least 1, and --versions at least as many as models");
        var folder = Directory.CreateTempSubdirectory("qbb-bench-");
        try
        {
            var bench = new ListBench(folder.FullName, sizes, (parsed.GetValue(_settings) ?? []).Select(setting => $"--{setting}"));
            var figures = ProgressBars.Run(output, "measuring", report => bench.RunAsync(done => report(done, 1, ""), cancel).GetAwaiter().GetResult());
            output.Result(new JsonObject { ["figures"] = FigureTable.Json(figures) }, screen => FigureTable.Print(screen, figures, "measured"));
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static Option<int> Count(string name, string description, int usual) => new(name) { Description = description, DefaultValueFactory = _ => usual };
}
