using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using Qbb.Cli.Comparison;
using Qbb.Cli.Distilling;
using Qbb.Cli.Hub;
using Qbb.Cli.Loading;
using Qbb.Cli.Quantizing;
using Qbb.Cli.Terminal;
using Qbb.Evaluator.Accounting;
using Qbb.Evaluator.Scoring;
using Qbb.Evaluator.Text;
using Qbb.Models;
using Qbb.Quantizer.Distillation;
using Qbb.Recipes;
using Spectre.Console;

namespace Qbb.Cli.Commands;

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
    private readonly Option<GroupSize> _group = SharedOptions.Group("Inputs that share a scale, or row.");
    private readonly Option<string[]> _texts = new("--text") { Description = "More texts to score on, beside what the model itself samples; - reads stdin.", AllowMultipleArgumentsPerToken = true };
    private readonly Option<int?> _context = new("--context") { Description = "Tokens of a window. Default: 512, or the model's longest context if that is shorter." };
    private readonly Option<bool> _allowLong = ModelLimits.AllowLongContext();
    private readonly Option<int> _windows = new("--windows") { Description = "Windows to score of each text, and sequences to sample.", DefaultValueFactory = _ => 40 };
    private readonly Option<ulong> _seed = new("--seed") { Description = "Seed of the sampled text.", DefaultValueFactory = _ => 1 };
    private readonly Option<string> _device = SharedOptions.Device();
    private readonly Option<int?> _threads = SharedOptions.Threads();
    private readonly Option<bool> _force = SharedOptions.Force();

    private readonly Option<bool> _distill = new("--distill") { Description = "Also calibrate and distil by the balanced preset, on data sampled from the model." };
    private readonly PlanOverrides _overrides = new();

    public CompareCommand() : base("compare", "Quantizes a model by round to nearest and by binary bases, and scores every result.",
        "qbb compare MODEL -o results --bases 2 3 4",
        "qbb compare MODEL -o results --bases 2 3 --distill --sequences 512",
        "qbb compare MODEL -o results --text wiki.test.raw --context 2048 --windows 20 --json")
    {
        Arguments.Add(_model);
        Option[] options =
        [
            _output, _bases, _group, _texts, _context, _allowLong, _windows, _seed, _distill, .. _overrides.All, _device, _threads, _force,
        ];
        foreach (var option in options)
            Options.Add(option);
        Validators.Add(result =>
        {
            if (!result.GetValue(_distill))
                _overrides.Of(result).ToList().ForEach(name => result.AddError($"{name} goes with --distill"));
        });
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        var threads = SharedOptions.ApplyThreads(parsed.GetValue(_threads));
        var device = SharedOptions.ParseDevice(parsed.GetRequiredValue(_device));
        var (path, folder, force) = (HubModels.Local(parsed.GetRequiredValue(_model), output, cancel), parsed.GetRequiredValue(_output), parsed.GetValue(_force));
        ModelLimits.CheckGroup(path, parsed.GetValue(_group).Inputs, parsed.GetResult(_group) is { Implicit: false });
        ComparedModels.CheckTargets(folder, parsed.GetRequiredValue(_bases), parsed.GetValue(_distill), force);
        var options = new ScoreOptions(512, parsed.GetRequiredValue(_windows), Batch: 4);
        using var teacher = LoadedModel.Open(path, device, needsTokenizer: true, check: config =>
        {
            options = options with { Context = ModelLimits.Context(_context.Name, parsed.GetValue(_context), options.Context, config.MaxPositions, parsed.GetValue(_allowLong)) };
            options.Validate();
        });
        var plan = parsed.GetValue(_distill) ? Plan(parsed, path, device, threads) : null;
        var texts = Texts(parsed, teacher, options, output, cancel);
        var rows = new List<ComparisonRow> { Row(output, "teacher", path, teacher, 0, texts, options, null, cancel) };
        var models = new ComparedModels(path, teacher, folder, plan, device, plan?.Distillation?.Precision.ToScalarType() ?? ScalarType.Float32, threads, force, output, cancel);
        var sampling = models.Sample();
        foreach (var bases in parsed.GetRequiredValue(_bases))
            foreach (var (name, made, seconds) in models.Make(bases, parsed.GetValue(_group).Inputs))
            {
                using var student = LoadedModel.Open(made, device);
                rows.Add(Row(output, name, made, student, seconds, texts, options, teacher, cancel));
            }
        output.Result(new JsonObject
        {
            ["output"] = Path.GetFullPath(folder),
            ["context"] = options.Context,
            ["samplingSeconds"] = plan is null ? null : sampling,
            ["rows"] = new JsonArray([.. rows.Select(row => row.ToJson())]),
        }, screen => Print(screen, rows, options, plan, sampling, folder));
    }

    /// <summary>The balanced preset of the most bases, whose data serve the others too.</summary>
    private QuantizationPlan Plan(ParseResult parsed, string model, Device device, int threads)
    {
        var (counts, positions, _) = ModelPlans.Read(model);
        var machine = new WorkMachine(threads, device.type == DeviceType.CUDA, Natives.CpuHasBf16);
        var recipe = new Recipe { Bases = parsed.GetRequiredValue(_bases).Max(), Group = parsed.GetValue(_group).Inputs };
        var plan = QuantizationPlan.Create(Preset.Balanced, recipe, counts, positions, machine);
        var sampling = _overrides.Apply(parsed, plan.Sampling!, positions);
        var training = plan.Distillation ?? new DistillationRecipe { LearningRate = QuantizationPlan.Rate(recipe.Bases) };
        training = training with { HeldOut = QuantizationPlan.HeldOutShare(sampling.Sequences, machine) };
        return plan.With(sampling, _overrides.Filter(parsed), _overrides.Apply(parsed, training, device).Resolve(), counts, machine);
    }

    // What the model samples is text that it never saw and that needs no data at all.
    private List<(string Name, int[] Ids)> Texts(ParseResult parsed, LoadedModel teacher, ScoreOptions options, Output output, CancellationToken cancel)
    {
        var sampled = ProgressBars.Run(output, "sampling text", report => SampledText.Make(teacher.Model, teacher.Tokenizer, options.Windows!.Value, options.Context,
            parsed.GetRequiredValue(_seed), (done, total) => report(done, total, ""), cancel));
        List<(string, int[])> texts = [("sampled", sampled)];
        foreach (var file in parsed.GetValue(_texts) ?? [])
            texts.Add((file == EvaluationText.StandardInput ? "stdin" : Path.GetFileName(file), teacher.Tokenizer.Encode(EvaluationText.Read(file).Text)));
        return texts;
    }

    private static ComparisonRow Row(
        Output output, string name, string folder, LoadedModel model, double seconds, List<(string Name, int[] Ids)> texts, ScoreOptions options,
        LoadedModel? teacher, CancellationToken cancel)
    {
        var scores = texts.Select(text => (text.Name, ProgressBars.Run(output, $"{name}: scoring {text.Name}", report => Scorer.Run(model.Model, text.Ids, options, teacher?.Model,
            new Relay<ScoreProgress>(p => report(p.Done, p.Total, $"perplexity {p.Perplexity:0.00}")), cancel)))).ToList();
        return new ComparisonRow(name, folder, ArtifactSize.Of(model.Source), scores, seconds);
    }

    private static void Print(
        IAnsiConsole screen, List<ComparisonRow> rows, ScoreOptions options, QuantizationPlan? plan, double sampling, string folder)
    {
        var table = new Table().Border(TableBorder.Simple).AddColumn(new TableColumn("method").NoWrap());
        void Right(string title) => table.AddColumn(new TableColumn(title).RightAligned());
        Right("bits/weight");
        Right("bits/\nparameter");
        foreach (var (text, _) in rows[0].Scores)
        {
            Right(Markup.Escape($"perplexity\n{text}"));
            Right(Markup.Escape($"KL\n{text}"));
        }
        Right("size");
        Right("seconds");
        foreach (var row in rows)
        {
            List<string> cells = [row.Name, Number(row.Size.EffectiveBitsPerWeight, "0.000"), Number(row.Size.BitsPerParameter, "0.000")];
            foreach (var (_, score) in row.Scores)
                cells.AddRange([Number(score.Perplexity, score.Perplexity < 1000 ? "0.00" : "0"), score.Kl is { } kl ? Number(kl, "0.0000") : ""]);
            cells.AddRange([Units.Bytes(row.Size.Bytes), row.Seconds == 0 ? "" : Number(row.Seconds, "0.0")]);
            table.AddRow([.. cells.Select(Markup.Escape)]);
        }
        screen.Write(table);
        var (windows, context) = (rows[0].Scores[0].Score.Windows, options.Context);
        Console.Out.WriteLine($"bits/weight: stored bits of the blocks' linear layers; bits/parameter and size: all files that running the model needs; perplexity and KL to the teacher (nats per token): {windows} windows of {context} tokens.");
        if (plan is not null)
        {
            Console.Out.WriteLine($"calibrated and distilled on {plan.Sampling!.Sequences} sequences that the teacher sampled in {Number(sampling, "0.0")} s, "
                + "apart from the text above; seconds of a distilled row hold its calibrated one.");
        }
        var best = rows.Skip(1).MinBy(row => row.Scores[0].Score.Perplexity)!;
        Console.Out.WriteLine($"The quantized models are in {folder}: try  qbb generate {best.Folder} --prompt \"The sea\"");
    }

    private static string Number(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
}
