using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Qbb.Checkpoints;
using Qbb.Cli.Calibrating;
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
using Qbb.Models.Decoder;
using Qbb.Quantizer.Calibration;
using Qbb.Quantizer.Distillation;
using Qbb.Quantizer.Driver;
using Qbb.Quantizer.Methods.Lattice;
using Qbb.Recipes;
using Spectre.Console;

namespace Qbb.Cli.Commands;

/// <summary><c>qbb compare</c>: quantizes a model by several methods, bits and groups, and scores every result against it.</summary>
internal sealed class CompareCommand : QbbCommand
{
    // As the papers of the methods calibrate.
    private const int TextContext = 2048;

    // Tables of papers have the model itself as a method; it always has a row.
    private const string FullPrecision = "fp16";

    private static readonly string[] s_usual = ["rtn", "gptq", "qbb"];

    private readonly Argument<string> _model = SharedOptions.Model();
    private readonly Option<string> _output = SharedOptions.OutputFolder();
    private readonly Option<string[]> _methods = new("--methods")
    {
        Description = "The methods to compare, beside the model itself (fp16): rtn (round to nearest), rtn-clip, gptq, awq, omniquant, quip (QuIP#, in 2, 3 and 4 bits and without groups), gptq-distilled, qbb-weights, qbb, qbb-distilled; qbb-init and qbb-init-distilled (not refined); qbb-from-rtn, qbb-from-gptq and qbb-from-omniquant (refined from that start). Commas or spaces between them.",
        DefaultValueFactory = _ => s_usual,
        CustomParser = result => [.. SharedOptions.Items(result).Where(name => name != FullPrecision && (ComparedMethod.All.Any(method => method.Name == name)
            || Refused(result, $"--methods is '{name}': give {string.Join(", ", ComparedMethod.All.Select(method => method.Name))}")))],
        AllowMultipleArgumentsPerToken = true,
    };
    private readonly Option<int[]> _bases = new("--bases", "-n", "--bits")
    {
        Description = "The numbers of bases to try, or bits of a grid. Commas or spaces between them.",
        DefaultValueFactory = _ => [2, 3, 4],
        CustomParser = result => [.. SharedOptions.Items(result).Select(text => int.TryParse(text, out var bases) && bases is >= 1 and <= Recipe.MostBases
            || Refused(result, $"--bases is '{text}': give numbers from 1 to {Recipe.MostBases}") ? int.Parse(text, CultureInfo.InvariantCulture) : 0)],
        AllowMultipleArgumentsPerToken = true,
    };
    private readonly Option<GroupSize[]> _groups = SharedOptions.Groups("Inputs that share a scale, or row. Commas or spaces between several.");
    private readonly Option<string[]> _beside = new("--beside") { Description = "Models that exist already, to score beside: folders of GPTQ, AWQ, compressed-tensors, HQQ or qbb, or GGUF files.", AllowMultipleArgumentsPerToken = true };
    private readonly Option<string?> _calibrationText = new("--calibration-text")
    {
        Description = $"A UTF-8 text to calibrate on instead of sampled sequences: {CalibrationChoices.UsualTextSequences} sequences of {TextContext} tokens, or of the model's longest context if that is shorter. What is distilled still samples.",
        HelpName = "FILE",
    };
    private readonly Option<string[]> _texts = new("--text") { Description = "More texts to score on, beside what the model itself samples; - reads stdin.", AllowMultipleArgumentsPerToken = true };
    private readonly Option<int?> _context = new("--context") { Description = "Tokens of a window. Default: 512, or the model's longest context if that is shorter." };
    private readonly Option<bool> _allowLong = ModelLimits.AllowLongContext();
    private readonly Option<int> _windows = new("--windows") { Description = "Windows to score of each text, and sequences to sample.", DefaultValueFactory = _ => 40 };
    private readonly Option<bool> _speed = new("--speed") { Description = "Also measure how fast every model decodes (greedily, with the engine of qbb generate), and joules per token where the device reports energy. Takes a few seconds per model." };
    private readonly Option<bool> _layers = new("--layers") { Description = "Add figures of single layers in the first, middle and last block: error by init, by number of bases and by refinement, and flipped signs per basis. They use the largest of --bases and the first of --group." };
    private readonly Option<ulong> _seed = new("--seed") { Description = "Seed of the sampled text.", DefaultValueFactory = _ => 1 };
    private readonly Option<string> _device = SharedOptions.Device();
    private readonly Option<int?> _threads = SharedOptions.Threads();
    private readonly Option<bool> _force = SharedOptions.Force();

    private readonly PlanOverrides _overrides = new();

    public CompareCommand() : base("compare", "Quantizes a model by several methods, scores every result and writes a report. If interrupted, the same command resumes.",
        "qbb compare MODEL -o report",
        "qbb compare MODEL -o report --methods rtn,gptq,qbb,qbb-distilled --bits 4,3,2 --group 128,64",
        "qbb compare MODEL -o report --methods gptq,awq,qbb --calibration-text wiki.train.raw",
        "qbb compare MODEL -o report --beside GPTQ_FOLDER model.gguf",
        "qbb compare MODEL -o report --text wiki.test.raw --context 2048 --windows 20 --json")
    {
        Arguments.Add(_model);
        Option[] options =
        [
            _output, _methods, _bases, _groups, _calibrationText, _beside, _texts, _context, _allowLong, _windows, _speed, _layers, _seed, .. _overrides.All, _device, _threads, _force,
        ];
        foreach (var option in options)
            Options.Add(option);
        Validators.Add(result =>
        {
            // Defaults are not there yet.
            var methods = (result.GetValue(_methods) is { Length: > 0 } given ? given : s_usual).Select(ComparedMethod.Of).ToList();
            if (methods.Exists(method => method.IsLattice) && result.GetValue(_bases) is { Length: > 0 } bases && bases.Except(LatticeCode.Widths).ToList() is { Count: > 0 } others)
                result.AddError($"quip has codes of {string.Join(", ", LatticeCode.Widths)} bits: leave out quip, or --bases {string.Join(", ", others)}");
            if (methods.TrueForAll(method => method.Distills is null))
                _overrides.OfTraining(result).ToList().ForEach(name => result.AddError($"{name} goes with a method that distils: add gptq-distilled or qbb-distilled to --methods"));
            if (!methods.Exists(method => method.NeedsData))
                _overrides.Of(result).Except(_overrides.OfTraining(result)).ToList().ForEach(name => result.AddError($"{name} goes with a method that needs data: add gptq, awq, omniquant, quip or qbb to --methods"));
        });
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        var threads = SharedOptions.ApplyThreads(parsed.GetValue(_threads));
        var device = SharedOptions.ParseDevice(parsed.GetRequiredValue(_device));
        var (path, folder, force) = (HubModels.Local(parsed.GetRequiredValue(_model), output, cancel), Path.GetFullPath(parsed.GetRequiredValue(_output)), parsed.GetValue(_force));
        foreach (var group in parsed.GetRequiredValue(_groups))
            ModelLimits.CheckGroup(path, group.Inputs, parsed.GetResult(_groups) is { Implicit: false });
        var cells = ComparisonCell.Matrix(parsed.GetRequiredValue(_methods), parsed.GetRequiredValue(_bases), parsed.GetRequiredValue(_groups).Select(group => group.Inputs));
        var options = new ScoreOptions(512, parsed.GetRequiredValue(_windows), Batch: 4);
        using var teacher = LoadedModel.Open(path, device, needsTokenizer: true, check: config =>
        {
            options = options with { Context = ModelLimits.Context(_context.Name, parsed.GetValue(_context), options.Context, config.MaxPositions, parsed.GetValue(_allowLong)) };
            options.Validate();
        });
        var calibration = CalibrationText(parsed, teacher, cells, output);
        var plan = Plan(parsed, cells, path, device, threads, calibration is not null);
        var texts = Texts(parsed, teacher, options, output, cancel);
        var digest = ProgressBars.Digest(output, teacher.Source, cancel);
        var notes = Notes(options, plan, texts, calibration);
        var report = new ComparisonReport(folder, Identity(digest, options, plan, texts, calibration), notes);
        var finished = report.Finished(force);
        CheckTargets(folder, cells, finished, force);
        var type = plan.Distillation?.Precision.ToScalarType() ?? ScalarType.Float32;
        var steps = new DistillationSteps(plan, device, type, threads, output, cancel) { CalibrationText = calibration };
        var models = new ComparedModels(path, digest, teacher, folder, plan, type, steps, output);
        report.Add(Timed(finished.GetValueOrDefault(path) ?? Row(output, null, path, teacher, 0, texts, options, null, cancel)));
        foreach (var other in (parsed.GetValue(_beside) ?? []).Select(other => Path.GetFullPath(HubModels.Local(other, output, cancel))).Distinct())
        {
            if (finished.TryGetValue(other, out var known))
            {
                report.Add(Timed(known));
                continue;
            }
            using var model = LoadedModel.Open(other, device);
            report.Add(Timed(Row(output, null, other, model, 0, texts, options, teacher, cancel)));
        }
        var open = cells.Where(cell => !finished.ContainsKey(Path.Combine(folder, cell.Folder))).ToList();
        var sampling = open.Exists(cell => cell.Method.NeedsSamples(calibration is not null)) ? models.Sample() : 0;
        foreach (var cell in cells)
        {
            cancel.ThrowIfCancellationRequested();
            if (finished.TryGetValue(Path.Combine(folder, cell.Folder), out var known))
            {
                report.Add(Timed(known));
            }
            else if (models.Make(cell) is { } made)
            {
                using var student = LoadedModel.Open(made.Folder, device);
                report.Add(Timed(Row(output, cell, made.Folder, student, made.Seconds, texts, options, teacher, cancel)));
            }
        }
        if (parsed.GetValue(_layers))
            StudyLayers(report, teacher, parsed.GetRequiredValue(_bases).Max(), parsed.GetRequiredValue(_groups)[0].Inputs, threads, output, cancel);
        output.Result(new JsonObject
        {
            ["output"] = folder,
            ["context"] = options.Context,
            ["samplingSeconds"] = plan.Sampling is null ? null : sampling,
            ["rows"] = new JsonArray([.. report.Rows.Select(ComparisonReport.ToJson)]),
        }, screen => Print(screen, report.Rows, notes, folder));

        // What was measured elsewhere is no figure of this device.
        ComparisonRow Timed(ComparisonRow row) => !parsed.GetValue(_speed) || row.Speed?.Device == DecodingSpeed.NameOf(device, threads) ? row
            : row with { Speed = ProgressBars.Run(output, $"{row.Title}: decoding", _ => DecodingSpeed.Measure(row.Folder, device, threads, cancel)) };
    }

    /// <summary>What samples and distils: the fast preset, or the balanced one where something is distilled; that of the weights alone where no method needs data.</summary>
    private QuantizationPlan Plan(ParseResult parsed, List<ComparisonCell> cells, string model, Device device, int threads, bool hasText)
    {
        var (counts, positions, _) = ModelPlans.Read(model);
        var machine = WorkMachine.Here(threads, device.type == DeviceType.CUDA, Natives.CpuHasBf16);
        // The same for all bases and groups: a further cell must not change the data of the finished ones.
        var recipe = new Recipe();
        if (!cells.Exists(cell => cell.Method.NeedsSamples(hasText)))
            return QuantizationPlan.Create(Preset.Weights, recipe, counts, positions, machine);
        var distils = cells.Exists(cell => cell.Method.Distills is not null);
        var plan = QuantizationPlan.Create(distils ? Preset.Balanced : Preset.Fast, recipe, counts, positions, machine);
        var sampling = _overrides.Apply(parsed, plan.Sampling!, positions);
        var training = !distils ? null : plan.Distillation ?? new DistillationRecipe { LearningRate = QuantizationPlan.Rate(recipe.Bases) };
        training = training is null ? null : _overrides.Apply(parsed, training with { HeldOut = QuantizationPlan.HeldOutShare(sampling.Sequences, machine) }, device).Resolve();
        return plan.With(sampling, _overrides.Filter(parsed), training, counts, machine);
    }

    /// <summary>The sequences of <c>--calibration-text</c>; null without it.</summary>
    private TokenSequences? CalibrationText(ParseResult parsed, LoadedModel teacher, List<ComparisonCell> cells, Output output)
    {
        if (parsed.GetValue(_calibrationText) is not { } file)
            return null;
        if (!cells.Exists(cell => cell.Method.NeedsData))
            throw new InvalidInputException("--calibration-text goes with a method that needs data", "add gptq, awq, omniquant, quip or qbb to --methods");
        var length = ModelLimits.Context("--calibration-text", null, TextContext, teacher.Model.Config.MaxPositions, allowed: false);
        var text = TokenSequences.Cut(teacher.Tokenizer.Encode(EvaluationText.Read(file).Text), length);
        if (text.Count < CalibrationChoices.UsualTextSequences)
            output.Warning($"{file} has {text.Count} sequences of {length} tokens, fewer than {CalibrationChoices.UsualTextSequences}: calibrating on all of them");
        return text;
    }

    /// <summary>Refuses, before any work is done, folders that must not be replaced.</summary>
    private static void CheckTargets(string folder, List<ComparisonCell> cells, IReadOnlyDictionary<string, ComparisonRow> finished, bool force)
    {
        // Of this comparison: an interrupted one may have made a model and not scored it.
        var isOurs = finished.Count > 0;
        foreach (var target in cells.Select(cell => Path.Combine(folder, cell.Folder)).Where(target => !finished.ContainsKey(target)))
            WrittenFiles.CheckTarget(target, force || isOurs);
    }

    /// <summary>Digest of what all rows have in common.</summary>
    private static string Identity(string model, ScoreOptions options, QuantizationPlan plan, List<(string Name, int[] Ids)> texts, TokenSequences? calibration)
    {
        var parts = new JsonObject
        {
            ["model"] = model,
            ["context"] = options.Context,
            ["windows"] = options.Windows,
            ["calibration"] = calibration?.Digest,
            // Bases and group are those of the cells.
            ["plan"] = (plan with { Decomposition = new Recipe { Importance = Importance.Full } }).ToRecipeJson(),
            ["texts"] = new JsonArray([.. texts.Select(text => JsonValue.Create($"{text.Name} {Convert.ToHexStringLower(SHA256.HashData(System.Runtime.InteropServices.MemoryMarshal.AsBytes<int>(text.Ids)))}"))]),
        };
        return Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(parts.ToJsonString())));
    }

    private static List<string> Notes(ScoreOptions options, QuantizationPlan plan, List<(string Name, int[] Ids)> texts, TokenSequences? calibration)
    {
        List<string> notes =
        [
            "bits/weight: stored bits of the blocks' linear layers, for round to nearest, GPTQ, AWQ, OmniQuant and QuIP# in their own formats; size: all files that running the model needs, as qbb stores them (plain weights of 16 bits for QuIP#, embedding included). "
                + $"Perplexity and KL to the teacher (nats per token): at most {options.Windows} windows of {options.Context} tokens of each text; {texts[0].Name} is text that the model itself made up.",
        ];
        notes.Add($"Work per token: the cost of decoding one token after {options.Context} others, computed from shapes and storage formats: those of bits/weight for the blocks' linear layers, qbb's for embedding and head. Attention and norms are not counted. "
            + "A plain or integer weight costs one multiplication and one addition, a basis one addition per weight; every scale, bias and zero point of a group costs one of each. Tokens per second and joules are measured on the models as qbb stores them.");
        if (calibration is not null)
            notes.Add($"Calibrated on {Math.Min(CalibrationChoices.UsualTextSequences, calibration.Count)} sequences of {calibration.LengthOf(0)} tokens of a text.");
        else if (plan.Sampling is { } sampling)
            notes.Add($"Calibrated on {plan.CalibrationSequences} of {sampling.Sequences} sequences of {sampling.Length} tokens that the teacher sampled, apart from the text above.");
        if (plan is { Sampling: { } sampled, Distillation: { } training })
        {
            notes.Add($"Distilled by {training.Steps} steps of {training.Batch} of {sampled.Sequences} sampled sequences; seconds of a distilled model hold its undistilled one where that was not made before.");
        }
        return notes;
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
        Output output, ComparisonCell? cell, string folder, LoadedModel model, double seconds, List<(string Name, int[] Ids)> texts, ScoreOptions options,
        LoadedModel? teacher, CancellationToken cancel)
    {
        var name = cell?.Method.Name ?? (teacher is null ? ComparisonRow.Teacher : Path.GetFileName(Path.TrimEndingDirectorySeparator(folder)));
        var title = cell?.Title ?? (model.Source.Packed is { } packed ? $"{name} ({packed.Description})" : name);
        var scores = texts.Select(text =>
        {
            var score = ProgressBars.Run(output, $"{title}: scoring {text.Name}", report => Scorer.Run(model.Model, text.Ids, options, teacher?.Model,
                new Relay<ScoreProgress>(p => report(p.Done, p.Total, $"perplexity {p.Perplexity:0.00}")), cancel));
            return new TextScore(text.Name, score.Perplexity, score.Kl, score.Top1, score.Windows, score.Tokens);
        }).ToList();
        var size = ArtifactSize.Of(model.Source);
        var layers = DecoderLayout.Resolve(model.Model.Config, model.Source.Tensors).Linears.ToList();
        var form = cell?.OwnForm(folder);
        var bits = form is null ? size.EffectiveBitsPerWeight : layers.Sum(layer => form(layer).Bits) / layers.Sum(layer => layer.WeightCount);
        return new(name, title, cell?.Bases, cell?.Group, folder, bits, size.BitsPerParameter, size.Bytes, seconds, scores, TokenCounts.Of(model.Source, options.Context, form));
    }

    /// <summary>Adds figures of single layers to the report, layer by layer; those that it has already are not done again.</summary>
    private static void StudyLayers(ComparisonReport report, LoadedModel teacher, int bases, int? group, int threads, Output output, CancellationToken cancel)
    {
        var known = report.Layers is { } earlier && earlier.Bases == bases && earlier.Group == group ? earlier.Layers.ToDictionary(layer => layer.Layer) : [];
        var layers = LayerStudy.LayersOf(DecoderLayout.Resolve(teacher.Model.Config, teacher.Source.Tensors));
        ProgressBars.Run(output, "single layers", progress =>
        {
            var done = new List<LayerStudy>();
            foreach (var layer in layers)
            {
                var isKnown = known.TryGetValue(layer.Weight, out var study);
                done.Add(study ?? LayerStudy.Of(teacher.Source.Tensors, layer, bases, group, threads, cancel));
                if (!isKnown)
                    report.Set(new(bases, group, [.. done]));
                progress(done.Count, layers.Count, layer.Module);
            }
            return done.Count;
        });
    }

    private static void Print(IAnsiConsole screen, IReadOnlyList<ComparisonRow> rows, List<string> notes, string folder)
    {
        var table = new Table().Border(TableBorder.Simple).AddColumn(new TableColumn("method").NoWrap());
        void Right(string title) => table.AddColumn(new TableColumn(title).RightAligned());
        Right("bits/weight");
        foreach (var score in rows[0].Scores)
        {
            Right(Markup.Escape($"perplexity\n{score.Text}"));
            Right(Markup.Escape($"KL\n{score.Text}"));
        }
        Right("size");
        Right("seconds");
        foreach (var row in rows)
        {
            List<string> cells = [row.Title, Number(row.BitsPerWeight, "0.000")];
            foreach (var score in row.Scores)
                cells.AddRange([ReportTable.Perplexity(score.Perplexity), score.Kl is { } kl ? Number(kl, "0.0000") : ""]);
            cells.AddRange([Units.Bytes(row.Bytes), row.Seconds == 0 ? "" : Number(row.Seconds, "0.0")]);
            table.AddRow([.. cells.Select(Markup.Escape)]);
        }
        screen.Write(table);
        notes.ForEach(Console.Out.WriteLine);
        Console.Out.WriteLine($"The report is {Path.Combine(folder, "index.html")}.");
        if (rows.Skip(1).MinBy(row => row.Scores[0].Perplexity) is { } best)
            Console.Out.WriteLine($"The quantized models are in {folder}: try  qbb generate {best.Folder} --prompt \"The sea\"");
    }

    private static bool Refused(ArgumentResult result, string error)
    {
        result.AddError(error);
        return false;
    }

    private static string Number(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
}
