using System.Text.Json.Nodes;

namespace Qbb.Recipes;

/// <summary>How much work a quantization takes.</summary>
public enum Preset
{
    /// <summary>No data: least error of the weights alone. Seconds; at 2 and 3 bases the model is usually of no use.</summary>
    Weights,

    /// <summary>Least error of the layers' outputs on text sampled from the model.</summary>
    Fast,

    /// <summary>The same, then scales (on a GPU also signs) distilled for a fixed time: two minutes on a GPU, 10 minutes in all on 2 cores.</summary>
    Balanced,

    /// <summary>The same until the divergence on held-out text stops falling.</summary>
    Best,
}

/// <summary>Presets by name.</summary>
public static class Presets
{
    public static IEnumerable<string> Names => Enum.GetValues<Preset>().Select(NameOf);

    public static string NameOf(this Preset preset) => RecipeJson.Name(preset);

    /// <summary>Null if there is none of that name.</summary>
    public static Preset? Find(string name) => Enum.GetValues<Preset>().Cast<Preset?>().FirstOrDefault(preset => preset!.Value.NameOf() == name);

    /// <summary>A recipe of a pipeline with what its preset plans in the preset's place; itself where it has none.</summary>
    /// <param name="recipe">It can be used (<see cref="RecipeCheck"/>).</param>
    /// <param name="model">The model.</param>
    /// <param name="positions">The longest sequence that the model was made for.</param>
    /// <param name="machine">Of the workers.</param>
    public static PipelineRecipe Planned(this PipelineRecipe recipe, ModelCounts model, int positions, WorkMachine machine) =>
        recipe.Preset is { } name && Find(name) is { } preset
            ? Of(QuantizationPlan.Create(preset, Recipe.FromPart(recipe.Decomposition.ToJsonString()), model, positions, machine)) with { Evaluation = recipe.Evaluation }
            : recipe;

    private static PipelineRecipe Of(QuantizationPlan plan) => PipelineRecipe.Parse(plan.ToRecipeJson());
}

/// <summary>One stage of a plan.</summary>
/// <param name="Name">What is done.</param>
/// <param name="Detail">How much of it.</param>
/// <param name="Estimate">What it takes.</param>
/// <param name="DiskBytes">What it leaves on disk until the end.</param>
public sealed record PlannedStage(string Name, string Detail, WorkEstimate Estimate, long DiskBytes = 0);

/// <summary>
/// The stages of a quantization and every choice in them, from a model's counts and the machine alone: the same model, machine and preset
/// give the same plan, so that an interrupted command resumes and two runs write the same bytes.
/// </summary>
public sealed record QuantizationPlan
{
    /// <summary>Name of the stage that decomposes the layers.</summary>
    public const string Quantizing = "quantize";

    /// <summary>Tokens of a sampled sequence, if the model has as many positions.</summary>
    public const int UsualLength = 512;

    /// <summary>Most sampled sequences that a decomposition uses; more serve the distillation alone.</summary>
    public const int MostCalibration = 512;

    /// <summary>Sequences that decide which step of a distillation is kept.</summary>
    private const int HeldOut = 8, HeldOutOnGpu = 128;

    private const int FewestOnCpu = 16, MostOnCpu = 128;

    private const double BalancedOnGpu = 117, CpuSeconds = 600, BestOnCpu = 3600;

    /// <summary>Below this many steps a distillation does not pay for its start.</summary>
    private const int FewestSteps = 24;

    /// <summary>The same on a CPU, whose steps are of a sequence or two: 30 of one did not lower the divergence of SmolLM2-135M, which more calibration does.</summary>
    private const int FewestStepsOnCpu = 48;

    /// <summary>Parts of a CPU's time: for the decomposition where a distillation follows, and for all. The rest is a margin: on 2 quiet cores of an EPYC the decomposition took 1.24 times what was planned.</summary>
    private const double CalibrationShare = 0.55, PlannedShare = 0.86;

    public required Preset Preset { get; init; }

    /// <summary>How layers become sums of binary matrices.</summary>
    public required Recipe Decomposition { get; init; }

    /// <summary>What is sampled from the model; null where no data are needed.</summary>
    public SamplingOptions? Sampling { get; init; }

    /// <summary>Sequences of it that the decomposition uses.</summary>
    public int CalibrationSequences { get; init; }

    /// <summary>Which of the samples are distilled on; null for all.</summary>
    public FilterOptions? Filter { get; init; }

    /// <summary>How the result is distilled; null where it is not.</summary>
    public DistillationRecipe? Distillation { get; init; }

    public required IReadOnlyList<PlannedStage> Stages { get; init; }

    /// <summary>Whether the work was measured: nested bases and gradient refinements were not.</summary>
    public bool HasEstimate => Stages.All(stage => stage.Estimate.Seconds > 0);

    public double Seconds => Stages.Sum(stage => stage.Estimate.Seconds);

    public long MemoryBytes => Stages.Max(stage => stage.Estimate.MemoryBytes);

    public long GpuBytes => Stages.Max(stage => stage.Estimate.GpuBytes);

    /// <summary>Of the result.</summary>
    public required long OutputBytes { get; init; }

    /// <summary>Of the result and of what the stages keep until the end.</summary>
    public long DiskBytes => OutputBytes + Stages.Sum(stage => stage.DiskBytes);

    /// <summary>The type to sample, score and train in.</summary>
    public Precision Type { get; init; }

    /// <summary>The plan as a recipe of a pipeline: canonical JSON of its parts.</summary>
    public string ToRecipeJson()
    {
        var all = (JsonObject)JsonNode.Parse((Decomposition with { Distillation = Distillation }).ToCanonicalJson())!;
        if (Sampling is not null)
        {
            all["sampling"] = PartJson.Write(Sampling);
            all["type"] = PrecisionNames.Of(Type);
        }
        if (Distillation is not null && Filter is not null)
            all["filter"] = PartJson.Write(Filter);
        else if (Distillation is not null)
            all["filter"] = new JsonObject { ["keep"] = 1 };
        return CanonicalJson.Write(all);
    }

    /// <summary>Plans a quantization.</summary>
    /// <param name="preset">How much work.</param>
    /// <param name="recipe">Of the decomposition; importance and distillation follow from the preset.</param>
    /// <param name="model">The model.</param>
    /// <param name="positions">The longest sequence that the model was made for.</param>
    /// <param name="machine">Where.</param>
    public static QuantizationPlan Create(Preset preset, Recipe recipe, ModelCounts model, int positions, WorkMachine machine)
    {
        recipe = recipe with { Distillation = null };
        if (preset == Preset.Weights)
            return Describe(new Choices(preset, recipe with { Importance = Importance.None }, null, 0, null), model, machine);
        recipe = recipe with { Importance = recipe.Importance == Importance.None ? Importance.Full : recipe.Importance };
        var length = Math.Min(UsualLength, positions);
        var calibration = machine.Gpu ? MostCalibration : CalibrationOnCpu(recipe, model, length, machine, CpuSeconds * CalibrationShare);
        var sampling = new SamplingOptions { Sequences = calibration + HeldOut, Length = length, Seed = (ulong)recipe.Seed };
        var fast = new Choices(Preset.Fast, recipe, sampling, calibration, null);
        if (preset == Preset.Fast || recipe.Nested)
            return Describe(fast, model, machine);
        return Describe(machine.Gpu ? OnAGpu(preset, fast, model, machine) : OnACpu(preset, fast, model, machine), model, machine);
    }

    /// <summary>The plan of a recipe, whose every choice is made, as a pipeline carries it out.</summary>
    public static QuantizationPlan Of(QuantizationRecipe recipe, ModelCounts model, WorkMachine machine)
    {
        var preset = recipe.Recipe.Distillation is not null ? Preset.Balanced : recipe.Sampling is not null ? Preset.Fast : Preset.Weights;
        var calibration = recipe.Recipe.Importance == Importance.None ? 0 : Math.Min(recipe.Sampling!.Sequences, MostCalibration);
        return Describe(new Choices(preset, recipe.Recipe with { Distillation = null }, recipe.Sampling, calibration, recipe.Recipe.Distillation), model, machine) with
        {
            Filter = recipe.Filter is { Keep: < 1 } filter ? filter : null,
            Type = recipe.Type ?? machine.UsualType,
        };
    }

    /// <summary>The same plan with other data and another training.</summary>
    public QuantizationPlan With(SamplingOptions sampling, FilterOptions? filter, DistillationRecipe? distillation, ModelCounts model, WorkMachine machine) =>
        Describe(
            new Choices(Preset, Decomposition, sampling, Math.Clamp(sampling.Sequences - HeldOut, 1, CalibrationSequences), distillation),
            model, machine) with
        { Filter = filter };

    /// <summary>The share of so many sequences that decides which step of a distillation is kept.</summary>
    public static double HeldOutShare(int sequences, WorkMachine machine) => Math.Min(machine.Gpu ? 0.05 : 0.2, (double)(machine.Gpu ? HeldOutOnGpu : HeldOut) / sequences);

    /// <summary>As many sequences as the time allows: the objective falls with more of them, ever more slowly.</summary>
    private static int CalibrationOnCpu(Recipe recipe, ModelCounts model, int length, WorkMachine machine, double seconds)
    {
        double Seconds(int sequences) => WorkPlan.Sample(model, sequences, length, machine).Seconds
            + (WorkPlan.Quantize(model, recipe, (long)sequences * length, length, machine)?.Seconds ?? 0);
        var fits = FewestOnCpu;
        while (fits < MostOnCpu && Seconds(fits + FewestOnCpu) < seconds)
            fits += FewestOnCpu;
        return fits;
    }

    private static Choices OnAGpu(Preset preset, Choices fast, ModelCounts model, WorkMachine machine)
    {
        var (length, bases) = (fast.Sampling!.Length, fast.Recipe.Bases);
        // A step of a small model takes sequences by the dozen, so that its products fill the GPU.
        var batch = (int)Math.Clamp(32768.0 / length * 135e6 / model.Weights, 8, 64);
        var step = WorkPlan.DistillationStep(model, batch, length, machine);
        var best = preset == Preset.Best;
        var steps = (int)Math.Clamp((best ? 4 * BalancedOnGpu : BalancedOnGpu) / step, FewestSteps, best ? 3400 : 1500);
        var sequences = best ? 65536 : 16384;
        // Twice through the data at most; sampling takes a fraction of what training on it does.
        sequences = Math.Min(sequences, Math.Max(fast.Sampling.Sequences, steps * batch));
        return fast with
        {
            Preset = preset,
            Sampling = fast.Sampling with { Sequences = sequences },
            Distillation = new DistillationRecipe
            {
                Steps = steps,
                Batch = batch,
                LearningRate = Rate(bases),
                SignRate = fast.Recipe.Target is { LeastLevel: > 0 } ? null : Rate(bases),
                FeatureWeight = 2,
                HeldOut = HeldOutShare(sequences, machine),
                EvaluateEvery = (steps + (best ? 7 : 1)) / (best ? 8 : 2),
                Patience = best ? 3 : null,
                Precision = Precision.Bf16,
                Seed = fast.Recipe.Seed,
            },
        };
    }

    private static Choices OnACpu(Preset preset, Choices fast, ModelCounts model, WorkMachine machine)
    {
        var length = fast.Sampling!.Length;
        var best = preset == Preset.Best;
        var before = Describe(fast, model, machine).Seconds;
        var scored = WorkPlan.Evaluate(model, 2 * HeldOut, length, machine).Seconds;
        var all = (best ? BestOnCpu : CpuSeconds) * PlannedShare;
        var left = all - before - 2 * scored;
        int Steps(int batch) => (int)Math.Min(left / WorkPlan.DistillationStep(model, batch, length, machine), best ? 2000 : 400);
        // Many small steps before few large ones.
        var batch = new[] { 4, 2 }.FirstOrDefault(sequences => Steps(sequences) >= 3 * FewestStepsOnCpu / 2, 1);
        var steps = Steps(batch);
        if (steps < FewestStepsOnCpu)
        {
            var calibration = CalibrationOnCpu(fast.Recipe, model, length, machine, all - scored);
            return fast with { Preset = preset, Calibration = calibration, Sampling = fast.Sampling with { Sequences = calibration + HeldOut } };
        }
        // Sampling a sequence takes a quarter of the time of a step on it: each is used twice.
        var sequences = Math.Max(fast.Sampling.Sequences, HeldOut + steps * batch / 2);
        return fast with
        {
            Preset = preset,
            Sampling = fast.Sampling with { Sequences = sequences },
            Distillation = new DistillationRecipe
            {
                Steps = steps,
                Batch = batch,
                LearningRate = Rate(fast.Recipe.Bases),
                HeldOut = HeldOutShare(sequences, machine),
                EvaluateEvery = (steps + (best ? 7 : 1)) / (best ? 8 : 2),
                Patience = best ? 3 : null,
                Precision = machine.PrecisionFor(model),
                Seed = fast.Recipe.Seed,
            },
        };
    }

    /// <summary>Peak rates that worked for SmolLM2-135M (docs/results-gpu.md): every further base leaves less for the training to mend.</summary>
    public static double Rate(int bases) => bases switch { <= 2 => 0.004, 3 => 0.003, 4 => 0.002, _ => 0.002 * Math.ScaleB(1, 4 - bases) };

    private sealed record Choices(Preset Preset, Recipe Recipe, SamplingOptions? Sampling, int Calibration, DistillationRecipe? Distillation);

    private static QuantizationPlan Describe(Choices choices, ModelCounts model, WorkMachine machine)
    {
        var (preset, recipe, sampling, calibration, distillation) = choices;
        var stages = new List<PlannedStage>();
        var length = sampling?.Length ?? 0;
        if (sampling is not null)
        {
            stages.Add(new("sample", $"{sampling.Sequences:N0} sequences of {length} tokens", WorkPlan.Sample(model, sampling.Sequences, length, machine),
                4L * sampling.Sequences * length));
        }
        var output = WorkPlan.OutputBytes(model, recipe);
        var data = calibration == 0 ? "from the weights alone" : $"for least error of the outputs on {calibration} sequences";
        stages.Add(new(Quantizing, $"N = {recipe.Bases}, {data}",
            WorkPlan.Quantize(model, recipe, (long)calibration * length, length, machine) ?? new WorkEstimate(0, 0, 0, output), distillation is null ? 0 : output));
        if (distillation is not null)
        {
            stages.Add(new("distill", $"{distillation.Steps:N0} steps of {distillation.Batch} sequences",
                WorkPlan.Distill(model, distillation, sampling!.Sequences, length, machine)));
        }
        else if (sampling is not null)
        {
            stages.Add(new("score", $"{HeldOut} sequences against the original", WorkPlan.Evaluate(model, 2 * HeldOut, length, machine)));
        }
        return new QuantizationPlan
        {
            Preset = preset,
            Decomposition = recipe,
            Sampling = sampling,
            CalibrationSequences = calibration,
            Distillation = distillation,
            Stages = stages,
            OutputBytes = output,
            Type = distillation?.Precision ?? machine.PrecisionFor(model),
        };
    }
}

/// <summary>What measured models lost: their perplexity over that of the original, WikiText-2, by docs/results.md and docs/results-gpu.md.</summary>
/// <param name="Least">Of the model that lost least.</param>
/// <param name="Most">Of the model that lost most.</param>
public sealed record MeasuredQuality(double Least, double Most)
{
    private static readonly Dictionary<(Preset, int), MeasuredQuality> s_measured = new()
    {
        [(Preset.Fast, 2)] = new(6.4, 6.6),
        [(Preset.Fast, 3)] = new(1.49, 1.6),
        [(Preset.Fast, 4)] = new(1.1, 1.15),
        [(Preset.Balanced, 2)] = new(1.86, 1.86),
        [(Preset.Balanced, 3)] = new(1.17, 1.45),
        [(Preset.Balanced, 4)] = new(1.04, 1.09),
        [(Preset.Best, 2)] = new(1.58, 1.58),
        [(Preset.Best, 3)] = new(1.14, 1.14),
        [(Preset.Best, 4)] = new(1.03, 1.03),
    };

    /// <summary>Null where no model was measured: other numbers of bases, groups over 128 or other choices.</summary>
    public static MeasuredQuality? Of(QuantizationPlan plan) =>
        plan.Decomposition is { Group: <= 128, Bias: true, Nested: false, Bits: null, Target: null }
        // Without time to distil it is what the fast preset makes.
        && s_measured.TryGetValue((plan.Distillation is null && plan.Preset > Preset.Fast ? Preset.Fast : plan.Preset, plan.Decomposition.Bases), out var found)
            ? found : null;
}
