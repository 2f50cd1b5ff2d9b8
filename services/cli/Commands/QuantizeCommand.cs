using System.CommandLine;
using Qbb.Checkpoints;
using Qbb.Cli.Calibrating;
using Qbb.Cli.Distilling;
using Qbb.Cli.Hub;
using Qbb.Cli.Loading;
using Qbb.Cli.Quantizing;
using Qbb.Cli.Registry;
using Qbb.Cli.Terminal;
using Qbb.Quantizer.Driver;
using Qbb.Quantizer.Methods;
using Qbb.Recipes;

namespace Qbb.Cli.Commands;

/// <summary><c>qbb quantize</c>: a model's linear layers as sums of binary matrices.</summary>
internal sealed class QuantizeCommand : QbbCommand
{
    private readonly Argument<string> _model = SharedOptions.Model();
    private readonly Option<string?> _output = new("--output", "-o") { Description = "The folder to write. Needed unless --plan is given." };
    private readonly Option<int> _bases = new("--bases", "-n") { Description = "N, binary matrices per layer, 1 to 8: about N bits per weight.", DefaultValueFactory = _ => 4 };
    private readonly Option<GroupSize> _group = SharedOptions.Group("Inputs that share a scale, or row for one scale per row.");
    private readonly Option<bool> _noBias = new("--no-bias") { Description = "Leave out the bias of every group." };
    private readonly Option<string> _embedding = SharedOptions.Embedding();
    private readonly Option<string?> _target = new("--target")
    {
        Description = "Restrict the levels to the grid of another format, so that qbb export --format of the same name holds the result bit for bit. GGUF's decide bases, group and bias; gptq, compressed-tensors and hqq take 2, 3, 4 or 8 bases, any group, and with --no-bias zero points in the middle.",
    };
    private readonly Option<bool> _nested = new("--nested")
    {
        Description = "Using only the first n bases gives a complete n-bit model with its own scales, for every n up to N.",
    };
    private readonly Option<Init> _init = new("--init") { Description = "Where the signs start from; rtn and rtn-clip are round to nearest, gptq is GPTQ, awq is AWQ, omniquant is OmniQuant, to compare with; all but awq can be refined with --refine alternating --importance full.", DefaultValueFactory = _ => Init.Cascaded };
    private readonly Option<Refinement?> _refine = new("--refine") { Description = "How signs and scales are improved. Default: alternating (none for rtn, rtn-clip, gptq, awq and omniquant)." };
    private readonly Option<Starts?> _starts = new("--starts") { Description = "Starting points of alternating refinement. Default: both where they apply." };
    private readonly Option<int?> _rounds = new("--rounds") { Description = "Rounds of refinement. Default: 15." };
    private readonly Option<int?> _steps = new("--steps") { Description = "Steps per basis of a gradient refinement. Default: 20." };
    private readonly Option<double?> _rate = new("--learning-rate") { Description = "Step size of a gradient refinement. Default: 0.03." };
    private readonly Option<long> _seed = new("--seed") { Description = "Random seed, for inits that use randomness.", DefaultValueFactory = _ => 0 };
    private readonly Option<string?> _recipe = new("--recipe") { Description = "A recipe with all of these choices: a recipe.json, or what qbb push --recipe takes." };
    private readonly MixedChoices _mixed = new();
    private readonly CalibrationChoices _calibration = new();
    private readonly PresetChoices _preset = new();
    private readonly PlanOverrides _overrides = new();
    private readonly Option<string> _device = SharedOptions.Device();
    private readonly Option<int?> _threads = SharedOptions.Threads();
    private readonly Option<bool> _force = SharedOptions.Force();

    public QuantizeCommand() : base("quantize", "Quantizes a model: its linear layers become sums of binary matrices. If interrupted, the same command resumes.",
        "qbb quantize MODEL -o OUT",
        "qbb quantize MODEL -o OUT --bases 3 --preset fast",
        "qbb quantize model.gguf -o OUT --size 80MB --plan",
        "qbb quantize MODEL -o OUT --bits 3 --preset best --max-kl 0.2 --json",
        "qbb quantize MODEL -o OUT --bases 2 --text books.txt",
        "qbb quantize MODEL -o OUT --target gguf-q4_1",
        "qbb quantize MODEL -o OUT --target gptq --bases 4 --group 128",
        "qbb quantize MODEL -o OUT --bases 4 --preset weights --nested")
    {
        Arguments.Add(_model);
        Option[] options =
        [
            _output, .. _preset.All, _bases, .. _mixed.All, _group, _noBias, _target, _embedding, _nested, _init, _refine, _starts, _rounds, _steps, _rate, _seed, _recipe,
            .. _calibration.All, .. _overrides.All, _device, _threads, _force,
        ];
        foreach (var option in options)
            Options.Add(option);
        _target.AcceptOnlyFromAmong([.. Target.All.Select(target => target.Name)]);
        Validators.Add(_mixed.CheckTogether);
        Validators.Add(_calibration.CheckTogether);
        Validators.Add(result =>
        {
            if (result.GetValue(_output) is null && !_preset.PlansOnly(result))
                result.AddError("option '--output' is required, or --plan");
        });
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        var threads = SharedOptions.ApplyThreads(parsed.GetValue(_threads));
        var device = SharedOptions.ParseDevice(parsed.GetRequiredValue(_device));
        var machine = WorkMachine.Here(threads, device.type == DeviceType.CUDA, Natives.CpuHasBf16);
        var file = parsed.GetValue(_recipe) is { } path ? RecipeFiles.ReadQuantization(path, machine.UsualType) : null;
        var recipe = file?.Recipe ?? FromOptions(parsed);
        var (model, folder, force) = (HubModels.Local(parsed.GetRequiredValue(_model), output, cancel), parsed.GetValue(_output) ?? "", parsed.GetValue(_force));
        if (folder.Length > 0)
            WrittenFiles.CheckTarget(folder, force, model);
        if (ModelLimits.PackedBy(model) is { } packed)
            output.Note($"starts from weights that are quantized already: {packed}");
        if (recipe.Target is not null)
        {
            recipe = ModelLimits.FitTarget(model, recipe, output);
            file = file is null ? null : file with { Recipe = file.Recipe with { Group = recipe.Group } };
        }
        else
            ModelLimits.CheckGroup(model, recipe.Group, parsed.GetResult(_group) is { Implicit: false });
        var (counts, positions, size) = ModelPlans.Read(model);
        var mixed = _mixed.Read(parsed, recipe, counts, machine.Gpu);
        if (mixed is not null && (file is not null || parsed.GetResult(_bases) is { Implicit: false }))
            throw new InvalidInputException("--size and --bits choose the bases of every layer: leave out --bases and --recipe");
        if (mixed is not null && recipe.Target is not null)
            throw new InvalidInputException("--target decides the bases of every layer: leave out --size and --bits");
        if (mixed is not null)
            recipe = recipe with { Bases = mixed.Bases };
        var preset = file?.Preset ?? _preset.Read(parsed, recipe, _calibration, _overrides);
        if (file is not null && (_preset.IsGiven(parsed) || _overrides.Of(parsed.CommandResult).Any()))
            throw new InvalidInputException("--recipe makes every choice: leave out --preset and the options of data and training, or change the file");
        if (file?.Preset is { } chosen && _calibration.HasData(parsed))
            throw new InvalidInputException($"the recipe has preset {chosen.NameOf()}, which samples its own data: leave out --calibration and --text, or take the preset out of the file");
        if (file?.Recipe.Distillation is not null && _calibration.HasData(parsed))
            throw new InvalidInputException("the recipe has a distillation, which samples its own data: leave out --calibration and --text, or take that part out of the file");
        if (mixed is not null && preset == Preset.Weights)
            throw new InvalidInputException("--size and --bits measure every layer's effect on data: use --preset fast, balanced or best");
        var plan = Plan(parsed, preset, recipe, file, counts, positions, machine, device);
        var report = new PlanReport(plan, mixed, counts, size);
        report.Refuse(_preset.AllowsLarger(parsed));
        if (_preset.PlansOnly(parsed.CommandResult))
        {
            output.Result(report.Json(), report.Print);
            return;
        }
        report.Announce(output);
        if (plan.Sampling is not null)
        {
            var quantization = new PlannedQuantization(plan, mixed, _preset.MaxKl(parsed), device, _overrides.TypeOf(parsed, device, plan.Type), threads);
            Carry(quantization, model, folder, force, output, cancel);
            return;
        }
        if (_preset.MaxKl(parsed) is not null)
            throw new InvalidInputException("--max-kl needs text sampled from the model: leave out --calibration, --text and --preset weights");
        using var calibration = _calibration.Open(parsed, model, device, cancel);
        if (mixed is not null)
            recipe = mixed.Choose(plan.Decomposition, model, calibration!.Sequences, device, threads, output, null, cancel);
        else
            recipe = plan.Decomposition;
        // With --size or --bits the data may serve to measure alone.
        if (_calibration.Given(parsed) is { } importance)
            recipe = recipe with { Importance = importance };
        var method = LayerMethods.For(recipe, device, threads);
        using var owned = method as IDisposable;
        var stream = recipe.Importance == Importance.None ? null : calibration?.Stream;
        Quantize(new ModelQuantizer(recipe, method, calibration: stream), model, folder, force, output, cancel);
    }

    /// <summary>The preset's plan with what options or a recipe file say.</summary>
    private QuantizationPlan Plan(
        ParseResult parsed, Preset preset, Recipe recipe, QuantizationRecipe? file, ModelCounts counts, int positions, WorkMachine machine, Device device)
    {
        if (file is { Preset: null } && !_calibration.HasData(parsed))
            return QuantizationPlan.Of(file, counts, machine);
        var plan = QuantizationPlan.Create(preset, recipe, counts, positions, machine);
        if (_calibration.HasData(parsed))
            return plan with { Sampling = null, Stages = [.. plan.Stages.Where(stage => stage.Name == QuantizationPlan.Quantizing)] };
        if (plan.Sampling is null)
            return plan;
        var sampling = _overrides.Apply(parsed, plan.Sampling, positions);
        var training = plan.Distillation
            ?? (_overrides.OfTraining(parsed.CommandResult).Any() ? new DistillationRecipe { LearningRate = QuantizationPlan.Rate(recipe.Bases) } : null);
        if (sampling != plan.Sampling && training is not null)
            training = training with { HeldOut = QuantizationPlan.HeldOutShare(sampling.Sequences, machine) };
        return plan.With(
            sampling, _overrides.Filter(parsed), training is null ? null : _overrides.Apply(parsed, training, device).Resolve(), counts, machine);
    }

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
            output.Warning($"finished layers are kept in {ModelQuantizer.WorkFolderOf(folder)}: the same command resumes from them; delete the folder to discard them");
            throw;
        }
    }

    private static void Carry(PlannedQuantization quantization, string model, string folder, bool force, Output output, CancellationToken cancel)
    {
        try
        {
            var result = quantization.Run(model, folder, force, output, cancel);
            PlannedReport.Warn(output, result);
            output.Result(PlannedReport.Json(result), screen => PlannedReport.Print(screen, result));
        }
        catch (OperationCanceledException)
        {
            output.Warning($"finished stages are kept in {PlannedQuantization.WorkFolderOf(folder)}: the same command resumes from them; delete the folder to discard them");
            throw;
        }
    }

    private Recipe FromOptions(ParseResult parsed)
    {
        var init = parsed.GetRequiredValue(_init);
        var recipe = new Recipe
        {
            Bases = parsed.GetRequiredValue(_bases),
            Group = parsed.GetValue(_group).Inputs,
            Bias = !parsed.GetValue(_noBias),
            Embedding = SharedOptions.ParseEmbedding(parsed.GetRequiredValue(_embedding)),
            Nested = parsed.GetValue(_nested),
            Init = init,
            Refinement = parsed.GetValue(_refine) ?? (init.IsRounding() ? Refinement.None : Refinement.Alternating),
            Starts = parsed.GetValue(_starts),
            Rounds = parsed.GetValue(_rounds),
            Steps = parsed.GetValue(_steps),
            LearningRate = parsed.GetValue(_rate),
            Seed = parsed.GetValue(_seed),
            Importance = _calibration.Given(parsed) ?? (init.NeedsInputs() ? Importance.Full : Importance.None),
        };
        if (parsed.GetValue(_target) is not { } name)
            return recipe.Resolve();
        var target = Target.Parse(name);
        if (target.Widths is null && new Option[] { _bases, _group, _noBias }.FirstOrDefault(option => parsed.GetResult(option) is { Implicit: false }) is { } given)
            throw new InvalidInputException($"--target {name} has bases, group and bias of its own: leave out {given.Name}");
        // An explicit --embedding that does not fit is reported.
        return (parsed.GetResult(_embedding) is { Implicit: false } ? recipe.For(target) with { Embedding = recipe.Embedding } : recipe.For(target)).Resolve();
    }
}
