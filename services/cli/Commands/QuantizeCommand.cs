using System.CommandLine;
using System.Diagnostics;
using Qbb.Checkpoints;
using Qbb.Cli.Calibrating;
using Qbb.Cli.Distilling;
using Qbb.Cli.Loading;
using Qbb.Cli.Quantizing;
using Qbb.Cli.Terminal;
using Qbb.Models;
using Qbb.Quantizer.Distillation;
using Qbb.Quantizer.Driver;
using Qbb.Quantizer.Methods;
using Qbb.Recipes;

namespace Qbb.Cli.Commands;

/// <summary><c>qbb quantize</c>: a model's linear layers as sums of binary matrices.</summary>
internal sealed class QuantizeCommand : QbbCommand
{
    private readonly Argument<string> _model = SharedOptions.Model();
    private readonly Option<string> _output = SharedOptions.OutputFolder();
    private readonly Option<int> _bases = new("--bases", "-n") { Description = "N, binary matrices per layer: 1 to 8.", DefaultValueFactory = _ => 4 };
    private readonly Option<int?> _group = new("--group", "-g")
    {
        Description = "Inputs that share a scale, or row for one scale per row.",
        DefaultValueFactory = _ => 128,
        CustomParser = SharedOptions.ParseGroup,
    };
    private readonly Option<bool> _noBias = new("--no-bias") { Description = "Leave out the bias of every group." };
    private readonly Option<bool> _nested = new("--nested")
    {
        Description = "Make the first n bases a model for every n up to N, with scales of their own.",
    };
    private readonly Option<Init> _init = new("--init") { Description = "Where the signs start from; Rtn and RtnClip are round to nearest, to compare with.", DefaultValueFactory = _ => Init.Cascaded };
    private readonly Option<Refinement?> _refine = new("--refine") { Description = "How signs and scales are improved. Default: alternating (none for Rtn)." };
    private readonly Option<Starts?> _starts = new("--starts") { Description = "Starting points of alternating refinement. Default: both where they apply." };
    private readonly Option<int?> _rounds = new("--rounds") { Description = "Rounds of refinement. Default: 15." };
    private readonly Option<int?> _steps = new("--steps") { Description = "Steps per basis of a gradient refinement. Default: 20." };
    private readonly Option<double?> _rate = new("--learning-rate") { Description = "Step size of a gradient refinement. Default: 0.03." };
    private readonly Option<long> _seed = new("--seed") { Description = "Seed of the inits that draw numbers.", DefaultValueFactory = _ => 0 };
    private readonly Option<string?> _recipe = new("--recipe") { Description = "A recipe.json with all of these choices instead." };
    private readonly MixedChoices _mixed = new();
    private readonly CalibrationChoices _calibration = new();
    private readonly DistillationPlanOptions _distillation = new();
    private readonly Option<string> _device = SharedOptions.Device();
    private readonly Option<int?> _threads = SharedOptions.Threads();
    private readonly Option<bool> _force = SharedOptions.Force();

    public QuantizeCommand() : base("quantize", "Turns a model's linear layers into sums of binary matrices. Interrupted, the same command continues where it stopped.",
        "qbb quantize MODEL -o OUT --bases 3 --group 128",
        "qbb quantize model.gguf -o OUT --bases 4 --group 32 --json",
        "qbb quantize MODEL -o OUT --bases 2 --distill",
        "qbb quantize MODEL -o OUT --bases 2 --calibration DATA",
        "qbb quantize MODEL -o OUT --bits 2.5 --calibration DATA",
        "qbb quantize MODEL -o OUT --bases 4 --nested",
        "qbb quantize MODEL -o OUT --bases 2 --group row --refine gradient")
    {
        Arguments.Add(_model);
        Option[] options =
        [
            _output, _bases, _group, _noBias, _nested, _init, _refine, _starts, _rounds, _steps, _rate, _seed, _recipe, .. _mixed.All,
            .. _calibration.All, .. _distillation.All, _device, _threads, _force,
        ];
        foreach (var option in options)
            Options.Add(option);
        Validators.Add(_mixed.CheckTogether);
        Validators.Add(_calibration.CheckTogether);
        Validators.Add(_distillation.CheckTogether);
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        var recipe = parsed.GetValue(_recipe) is { } file ? ReadRecipe(file) : FromOptions(parsed);
        var threads = SharedOptions.ApplyThreads(parsed.GetValue(_threads));
        var device = SharedOptions.ParseDevice(parsed.GetRequiredValue(_device));
        var mixed = _mixed.Read(parsed);
        if (mixed is not null && parsed.GetResult(_bases) is { Implicit: false })
            throw new InvalidInputException("--bits chooses the bases of every layer: leave out --bases");
        var plan = _distillation.Read(parsed, device, recipe.Distillation);
        if (plan is null && recipe.Distillation is not null)
            throw new InvalidInputException("the recipe goes on with a distillation: add --distill, or take that part out of the file");
        var (model, folder, force) = (parsed.GetRequiredValue(_model), parsed.GetRequiredValue(_output), parsed.GetValue(_force));
        WrittenFiles.CheckTarget(folder, force, model);
        ModelLimits.CheckGroup(model, recipe.Group, parsed.GetResult(_group) is { Implicit: false });
        if (plan is not null)
        {
            if (recipe.Nested)
                throw new InvalidInputException(
                    "--nested and --distill do not go together: training the scales of one n leaves the others behind");
            if (_calibration.HasData(parsed))
                throw new InvalidInputException("--distill samples its own data, for the decomposition too: leave out --calibration and --text");
            Distil(new DistilledQuantization(WithSamples(recipe, parsed), plan, mixed, threads), model, folder, force, output, cancel);
            return;
        }
        using var calibration = _calibration.Open(parsed, model, device, cancel);
        if (mixed is not null)
        {
            if (calibration is null)
                throw new InvalidInputException(
                    "--bits measures what each layer does to the model, which takes data: give --calibration or --text");
            recipe = mixed.Choose(recipe, model, calibration.Sequences, device, threads, output, cancel);
        }
        var method = LayerMethods.For(recipe, device, threads);
        using var owned = method as IDisposable;
        // With --bits the data may serve to measure alone.
        var stream = mixed is not null && recipe.Importance == Importance.None ? null : calibration?.Stream;
        Quantize(new ModelQuantizer(recipe, method, calibration: stream), model, folder, force, output, cancel);
    }

    /// <summary>The recipe's decomposition; where the command line leaves it open it makes use of the samples that there are.</summary>
    private Recipe WithSamples(Recipe recipe, ParseResult parsed) => recipe with
    {
        Distillation = null,
        Importance = parsed.GetValue(_recipe) is null && recipe.Refinement == Refinement.Alternating
            ? _calibration.Given(parsed) ?? Importance.Full
            : recipe.Importance,
    };

    private static void Quantize(ModelQuantizer quantizer, string model, string folder, bool force, Output output, CancellationToken cancel)
    {
        try
        {
            var result = ProgressBars.Run(output, "quantizing", report => quantizer.Run(model, folder, force,
                new Relay<QuantizeProgress>(p => report(p.Done, p.Total, $"{p.Layer} error {p.RelativeError:0.00000}")), cancel));
            output.Result(QuantizationReport.Json(result), screen => QuantizationReport.Print(screen, result));
        }
        catch (OperationCanceledException)
        {
            output.Warning($"finished layers are kept in {ModelQuantizer.WorkFolderOf(folder)}: the same command continues from them; delete the folder to forget them");
            throw;
        }
    }

    private static void Distil(DistilledQuantization quantization, string model, string folder, bool force, Output output, CancellationToken cancel)
    {
        var watch = Stopwatch.StartNew();
        try
        {
            var result = quantization.Run(model, folder, force, output, cancel);
            DistillationReport.Warn(output, result);
            output.Result(DistillationReport.Json(result, watch.Elapsed.TotalSeconds), screen => DistillationReport.Print(screen, result, watch.Elapsed.TotalSeconds));
        }
        catch (Exception error) when (error is OperationCanceledException or DistillationRefusedException)
        {
            var work = DistilledQuantization.WorkFolderOf(folder);
            output.Warning($"the quantized model before distillation and the data are kept in {work}: the same command continues from them; delete the folder to forget them");
            throw;
        }
    }

    private Recipe FromOptions(ParseResult parsed)
    {
        var init = parsed.GetRequiredValue(_init);
        return new Recipe
        {
            Bases = parsed.GetRequiredValue(_bases),
            Group = parsed.GetValue(_group),
            Bias = !parsed.GetValue(_noBias),
            Nested = parsed.GetValue(_nested),
            Init = init,
            Refinement = parsed.GetValue(_refine) ?? (init is Init.Rtn or Init.RtnClip ? Refinement.None : Refinement.Alternating),
            Starts = parsed.GetValue(_starts),
            Rounds = parsed.GetValue(_rounds),
            Steps = parsed.GetValue(_steps),
            LearningRate = parsed.GetValue(_rate),
            Seed = parsed.GetValue(_seed),
            Importance = _calibration.ImportanceOf(parsed),
        }.Resolve();
    }

    internal static Recipe ReadRecipe(string file)
    {
        try
        {
            return Recipe.FromJson(File.ReadAllText(file));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InvalidInputException($"the recipe {file} cannot be read: {e.Message}", e);
        }
    }
}
