using System.CommandLine;
using System.CommandLine.Parsing;
using System.Text.Json.Nodes;
using Qbb.Checkpoints;
using Qbb.Cli.Registry;
using Qbb.Cli.Terminal;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Recipes;
using Spectre.Console;

namespace Qbb.Cli.Quantizing;

/// <summary><c>--plan</c> of <c>qbb inspect</c>: the options, and the estimates for a model.</summary>
internal sealed class PlanOptions
{
    private const int UsualWindows = 20;

    private readonly Option<bool> _plan = new("--plan") { Description = "Estimate time and memory of quantize, eval and generate." };
    private readonly Option<int> _bases = new("--bases", "-n") { Description = "With --plan: N, binary matrices per layer.", DefaultValueFactory = _ => 4 };
    private readonly Option<GroupSize> _group = SharedOptions.Group("With --plan: inputs that share a scale, or row.");
    private readonly Option<string?> _recipe = new("--recipe") { Description = "With --plan: a recipe.json instead of --bases and --group." };
    private readonly Option<int?> _context = new("--context")
    {
        Description = "With --plan: tokens of a window of eval, and tokens to generate. Default: 2048, or the model's longest context if that is shorter.",
    };
    private readonly Option<int?> _windows = new("--windows") { Description = $"With --plan: windows of eval. Default: {UsualWindows}." };
    private readonly Option<string?> _device = new("--device") { Description = "With --plan: cpu or cuda. Default: the GPU where there is one." };
    private readonly Option<int?> _threads = SharedOptions.Threads();

    public IEnumerable<Option> All => [_plan, .. Dependent];

    private Option[] Dependent => [_bases, _group, _recipe, _context, _windows, _device, _threads];

    public void CheckTogether(CommandResult result)
    {
        if (!result.GetValue(_plan))
        {
            foreach (var option in Dependent.Where(option => result.GetResult(option) is { Implicit: false }))
                result.AddError($"{option.Name} goes with --plan");
        }
        if (result.GetValue(_windows) < 1 || result.GetValue(_context) < 2 || result.GetValue(_threads) < 1)
            result.AddError("--windows and --threads must be at least 1, --context at least 2");
    }

    /// <summary>The estimates; null without --plan.</summary>
    public IReadOnlyList<PlannedWork>? Read(ParseResult parsed, ModelSource source, DecoderConfig config, DecoderLayout layout)
    {
        if (!parsed.GetValue(_plan))
            return null;
        var recipe = parsed.GetValue(_recipe) is { } file ? RecipeFiles.ReadQuantization(file).Recipe
            : new Recipe { Bases = parsed.GetValue(_bases), Group = parsed.GetValue(_group).Inputs }.Resolve();
        var isGpu = parsed.GetValue(_device) is { } device ? device.StartsWith("cuda", StringComparison.Ordinal) : torch.cuda.is_available();
        var machine = WorkMachine.Here(parsed.GetValue(_threads) ?? Environment.ProcessorCount, isGpu, Natives.CpuHasBf16);
        var model = ModelPlans.Counts(source, config, layout);
        var context = parsed.GetValue(_context) ?? Math.Min(2048, config.MaxPositions);
        var windows = parsed.GetValue(_windows) ?? UsualWindows;
        var most = recipe.Refinement != Refinement.Alternating ? Preset.Weights : recipe.Nested ? Preset.Fast : Preset.Best;
        return
        [
            .. Enum.GetValues<Preset>().Where(preset => preset <= most).Select(preset => PlannedWork.Of(
                QuantizationPlan.Create(preset, recipe, model, config.MaxPositions, machine))),
            new($"eval, {windows} × {context} tokens", WorkPlan.Evaluate(model, windows, context, machine)),
            new($"generate, {context} tokens", WorkPlan.Generate(model, context, machine)),
        ];
    }
}

/// <summary>What plans are made from.</summary>
internal static class ModelPlans
{
    /// <summary>A model's counts, longest context and bytes, from headers alone.</summary>
    /// <exception cref="InvalidInputException">The model cannot be read.</exception>
    public static (ModelCounts Counts, int Positions, ModelSize Size) Read(string model)
    {
        using var source = ModelSource.Open(model);
        var config = DecoderConfig.FromJson(source.ConfigJson);
        return (Counts(source, config, DecoderLayout.Resolve(config, source.Tensors)), config.MaxPositions, ModelSize.Of(source));
    }

    public static ModelCounts Counts(ModelSource source, DecoderConfig config, DecoderLayout layout)
    {
        var linears = layout.Linears.ToList();
        var modules = linears.Select(linear => linear.Weight).ToHashSet(StringComparer.Ordinal);
        return new ModelCounts
        {
            Linears = [.. linears.Select(linear => (linear.OutFeatures, linear.InFeatures))],
            OtherWeights = layout.TensorNames.Where(name => !modules.Contains(name) && source.Tensors.Contains(name)).Distinct()
                .Sum(name => source.Tensors.Describe(name).Count),
            Embeddings = [.. layout.Embeddings.Select(_ => (config.VocabularySize, config.EmbeddingSize))],
            Vocabulary = config.VocabularySize,
            Hidden = config.HiddenSize,
            Blocks = config.BlockCount,
            QueryWidth = config.HeadCount * config.HeadDimension,
            KeyValueWidth = config.KeyValueHeadCount * config.HeadDimension,
            FileBytes = source.FileBytes,
            // The tokenizer of a GGUF file is in its header.
            SideBytes = source.Format == ModelSource.Gguf
                ? Math.Max(0, source.FileBytes - source.Tensors.Entries.Sum(entry => entry.Bytes)) : source.BytesOf(source.SideFiles()),
        };
    }
}

/// <summary>One command and what it is expected to take.</summary>
/// <param name="Work">The command.</param>
/// <param name="Estimate">Null if no estimate exists.</param>
internal sealed record PlannedWork(string Work, WorkEstimate? Estimate)
{
    public static PlannedWork Of(QuantizationPlan plan) => new(
        $"quantize --preset {plan.Preset.NameOf()}",
        plan.HasEstimate ? new WorkEstimate(plan.Seconds, plan.MemoryBytes, plan.GpuBytes, plan.OutputBytes) : null);

    public static JsonArray Json(IEnumerable<PlannedWork> plan) => new([.. plan.Select(planned => new JsonObject
    {
        ["work"] = planned.Work,
        ["seconds"] = planned.Estimate?.Seconds,
        ["memoryBytes"] = planned.Estimate?.MemoryBytes,
        ["gpuBytes"] = planned.Estimate?.GpuBytes,
        ["outputBytes"] = planned.Estimate?.OutputBytes,
    })]);

    public static void Print(IAnsiConsole screen, IEnumerable<PlannedWork> plan)
    {
        var table = new Table().AddColumn("plan").Border(TableBorder.Simple);
        foreach (var name in new[] { "time", "memory", "GPU", "output" })
            table.AddColumn(new TableColumn(name).RightAligned().NoWrap());
        foreach (var (work, estimate) in plan)
        {
            string Size(long? bytes) => bytes is > 0 ? Units.Bytes(bytes.Value) : "";
            table.AddRow(Markup.Escape(work), estimate is null ? "no estimate" : Time(estimate.Seconds), Size(estimate?.MemoryBytes), Size(estimate?.GpuBytes),
                Size(estimate?.OutputBytes));
        }
        screen.Write(table);
        var memory = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        foreach (var (work, estimate) in plan.Where(planned => planned.Estimate?.MemoryBytes > memory))
            screen.MarkupLineInterpolated($"{work}: needs more memory than the {Units.Bytes(memory)} of this machine");
    }

    /// <summary>As exact as the estimate is.</summary>
    public static string Time(double seconds) => seconds switch
    {
        < 90 => $"{seconds:0} s",
        < 5400 => $"{seconds / 60:0} min",
        < 48 * 3600 => $"{seconds / 3600:0} h",
        _ => $"{seconds / 86400:0} days",
    };
}
