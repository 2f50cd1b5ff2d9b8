using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using Qbb.Evaluator.Accounting;
using Qbb.Evaluator.Scoring;
using Qbb.Evaluator.Text;
using Qbb.Models;
using Qbb.Quantizer.Artifacts;
using Qbb.Quantizer.Layers;
using Qbb.Quantizer.Recipes;
using Qbb.Standalone.Comparison;
using Qbb.Standalone.Loading;
using Qbb.Standalone.Terminal;
using Qbb.Torch;
using Spectre.Console;

namespace Qbb.Standalone.Commands;

/// <summary><c>qbb compare</c>: quantizes a model several ways and scores every result against it.</summary>
internal sealed class CompareCommand : QbbCommand
{
    private readonly Argument<string> _model = SharedOptions.Model();
    private readonly Option<string> _output = SharedOptions.OutputFolder();
    private readonly Option<int[]> _bases = new("--bases", "-n")
    {
        Description = "The numbers of bases to try.",
        DefaultValueFactory = _ => [2, 3, 4],
        AllowMultipleArgumentsPerToken = true,
    };
    private readonly Option<int?> _group = new("--group", "-g")
    {
        Description = "Inputs that share a scale, or row.",
        DefaultValueFactory = _ => 128,
        CustomParser = SharedOptions.ParseGroup,
    };
    private readonly Option<string[]> _texts = new("--text") { Description = "More texts to score on, beside what the model itself samples.", AllowMultipleArgumentsPerToken = true };
    private readonly Option<int?> _context = new("--context") { Description = "Tokens of a window. Default: 512, or the model's longest context if that is shorter." };
    private readonly Option<int> _windows = new("--windows") { Description = "Windows to score of each text, and sequences to sample.", DefaultValueFactory = _ => 40 };
    private readonly Option<ulong> _seed = new("--seed") { Description = "Seed of the sampled text.", DefaultValueFactory = _ => 1 };
    private readonly Option<string> _device = SharedOptions.Device();
    private readonly Option<int?> _threads = SharedOptions.Threads();
    private readonly Option<bool> _force = SharedOptions.Force();

    public CompareCommand() : base("compare", "Quantizes a model by round to nearest and by binary bases, and scores every result.",
        "qbb compare MODEL -o results --bases 2 3 4",
        "qbb compare MODEL -o results --text wiki.test.raw --context 2048 --windows 20 --json")
    {
        Arguments.Add(_model);
        foreach (var option in new Option[] { _output, _bases, _group, _texts, _context, _windows, _seed, _device, _threads, _force })
            Options.Add(option);
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        var threads = SharedOptions.ApplyThreads(parsed.GetValue(_threads));
        var device = SharedOptions.ParseDevice(parsed.GetRequiredValue(_device));
        var (path, folder, force) = (parsed.GetRequiredValue(_model), parsed.GetRequiredValue(_output), parsed.GetValue(_force));
        using var teacher = LoadedModel.Open(path, device);
        var options = new ScoreOptions(parsed.GetValue(_context) ?? Math.Min(512, teacher.Model.Config.MaxPositions), parsed.GetRequiredValue(_windows), Batch: 4);
        options.Validate();
        var texts = Texts(parsed, teacher, options, output, cancel);
        var rows = new List<ComparisonRow> { Row(output, "teacher", teacher, 0, texts, options, null, cancel) };
        foreach (var bases in parsed.GetRequiredValue(_bases))
            foreach (var (name, recipe) in Recipes(bases, parsed.GetValue(_group)))
            {
                var target = Path.Combine(folder, $"{name}-{bases}");
                var watch = Stopwatch.StartNew();
                var method = LayerMethods.For(recipe, device, threads);
                using var owned = method as IDisposable;
                ProgressBars.Run(output, $"{name}, N = {bases}", report => new ModelQuantizer(recipe, method).Run(path, target, force,
                    new Relay<QuantizeProgress>(p => report(p.Done, p.Total, p.Layer)), cancel));
                var seconds = watch.Elapsed.TotalSeconds;
                using var student = LoadedModel.Open(target, device);
                rows.Add(Row(output, $"{name}, N = {bases}", student, seconds, texts, options, teacher, cancel));
            }
        output.Result(new JsonObject
        {
            ["output"] = Path.GetFullPath(folder),
            ["context"] = options.Context,
            ["rows"] = new JsonArray([.. rows.Select(row => row.ToJson())]),
        }, screen => Print(screen, rows, options, folder));
    }

    private static IEnumerable<(string Name, Recipe Recipe)> Recipes(int bases, int? group)
    {
        yield return ("rtn", new Recipe { Bases = bases, Group = group, Init = Init.Rtn, Refinement = Refinement.None }.Resolve());
        yield return ("qbb", new Recipe { Bases = bases, Group = group }.Resolve());
    }

    // What the model samples is text that it never saw and that needs no data at all.
    private List<(string Name, int[] Ids)> Texts(ParseResult parsed, LoadedModel teacher, ScoreOptions options, Output output, CancellationToken cancel)
    {
        var sampled = ProgressBars.Run(output, "sampling text", report => SampledText.Make(teacher.Model, teacher.Tokenizer, options.Windows!.Value, options.Context,
            parsed.GetRequiredValue(_seed), (done, total) => report(done, total, ""), cancel));
        List<(string, int[])> texts = [("sampled", sampled)];
        foreach (var file in parsed.GetValue(_texts) ?? [])
            texts.Add((Path.GetFileName(file), teacher.Tokenizer.Encode(EvaluationText.Read(file).Text)));
        return texts;
    }

    private static ComparisonRow Row(Output output, string name, LoadedModel model, double seconds, List<(string Name, int[] Ids)> texts, ScoreOptions options, LoadedModel? teacher, CancellationToken cancel)
    {
        var scores = texts.Select(text => (text.Name, ProgressBars.Run(output, $"{name}: scoring {text.Name}", report => Scorer.Run(model.Model, text.Ids, options, teacher?.Model,
            new Relay<ScoreProgress>(p => report(p.Done, p.Total, $"perplexity {p.Perplexity:0.00}")), cancel)))).ToList();
        return new ComparisonRow(name, ArtifactSize.Of(model.Source), scores, seconds);
    }

    private static void Print(IAnsiConsole screen, List<ComparisonRow> rows, ScoreOptions options, string folder)
    {
        var table = new Table().Border(TableBorder.Simple).AddColumn("method");
        void Right(string title) => table.AddColumn(new TableColumn(title).RightAligned());
        Right("bits/weight");
        foreach (var (text, _) in rows[0].Scores)
        {
            Right(Markup.Escape($"perplexity\n{text}"));
            Right(Markup.Escape($"KL\n{text}"));
        }
        Right("size");
        Right("seconds");
        foreach (var row in rows)
        {
            List<string> cells = [row.Name, Number(row.Size.EffectiveBitsPerWeight, "0.000")];
            foreach (var (_, score) in row.Scores)
                cells.AddRange([Number(score.Perplexity, score.Perplexity < 1000 ? "0.00" : "0"), score.Kl is { } kl ? Number(kl, "0.0000") : ""]);
            cells.AddRange([Units.Bytes(row.Size.Bytes), row.Seconds == 0 ? "" : Number(row.Seconds, "0.0")]);
            table.AddRow([.. cells.Select(Markup.Escape)]);
        }
        screen.Write(table);
        var (windows, context) = (rows[0].Scores[0].Score.Windows, options.Context);
        Console.Out.WriteLine($"bits/weight: stored bits of the blocks' linear layers; perplexity and KL to the teacher (nats per token): {windows} windows of {context} tokens.");
        Console.Out.WriteLine($"The quantized models are in {folder}: try  qbb generate {Path.Combine(folder, "qbb-4")} --prompt \"The sea\"");
    }

    private static string Number(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
}
