using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using Qbb.Bench.Shapes;
using Qbb.Cli.Commands;
using Qbb.Cli.Terminal;
using Qbb.Cuda;
using Qbb.Models;
using Qbb.Quantizer.Calibration;
using Qbb.Recipes;
using Spectre.Console;

namespace Qbb.Bench.Commands;

/// <summary><c>qbb-bench decompose</c>: the time that a model of some shape takes to decompose.</summary>
internal sealed class BenchDecomposeCommand : QbbCommand
{
    private readonly Option<string> _shape = new("--shape")
    {
        Description = "7b (LLaMA-2-7B), 135m (SmolLM2) or tiny, or a model: its shape, and with importance its weights.",
        DefaultValueFactory = _ => "7b",
    };
    private readonly Option<int> _bases = new("--bases", "-n")
    {
        Description = "N, binary matrices per layer.",
        DefaultValueFactory = _ => 4,
    };
    private readonly Option<GroupSize> _group = SharedOptions.Group("Inputs that share a scale, or row.");
    private readonly Option<Refinement> _refine = new("--refine")
    {
        Description = "How signs and scales are improved.",
        DefaultValueFactory = _ => Refinement.Alternating,
    };
    private readonly Option<Starts?> _starts = new("--starts") { Description = "Starting points of alternating refinement. Default: both." };
    private readonly Option<int?> _rounds = new("--rounds") { Description = "Rounds of refinement. Default: 15." };
    private readonly Option<int?> _blocks = new("--blocks")
    {
        Description = "Transformer blocks to decompose; the rest is reckoned at their rate. Default: all on a GPU, 1 on the CPU.",
    };
    private readonly Option<bool> _plain = new("--plain") { Description = "On a GPU: tensor operations alone, without fused kernels." };
    private readonly Option<Importance> _importance = new("--importance")
    {
        Description = "full: output-aware, with random tokens running through the model.",
        DefaultValueFactory = _ => Importance.None,
    };
    private readonly Option<int> _tokens = new("--tokens")
    {
        Description = "Tokens of the calibration.",
        DefaultValueFactory = _ => 262_144,
    };
    private readonly Option<int> _length = new("--length")
    {
        Description = "Tokens of a sequence.",
        DefaultValueFactory = _ => 512,
    };
    private readonly Option<string?> _dtype = SharedOptions.DType();
    private readonly Option<string> _device = SharedOptions.Device();
    private readonly Option<int?> _threads = SharedOptions.Threads();

    public BenchDecomposeCommand() : base("decompose", "Decomposes random weights of a model's shape; nothing is stored.",
        "qbb-bench decompose --shape 7b --bases 4 --device cuda", "qbb-bench decompose --shape MODEL --bases 3 --device cpu",
        "qbb-bench decompose --shape 7b --bases 3 --importance full --tokens 262144 --length 2048")
    {
        foreach (var option in (Option[])[_shape, _bases, _group, _refine, _starts, _rounds, _blocks, _plain, _importance, _tokens, _length, _dtype, _device, _threads])
            Options.Add(option);
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        var threads = SharedOptions.ApplyThreads(parsed.GetValue(_threads));
        var device = SharedOptions.ParseDevice(parsed.GetRequiredValue(_device));
        var shape = ModelShape.Of(parsed.GetRequiredValue(_shape));
        var recipe = new Recipe
        {
            Bases = parsed.GetRequiredValue(_bases),
            Group = parsed.GetValue(_group).Inputs,
            Refinement = parsed.GetRequiredValue(_refine),
            Starts = parsed.GetValue(_starts),
            Rounds = parsed.GetValue(_rounds),
            Importance = parsed.GetRequiredValue(_importance),
        }.Resolve();
        var blocks = parsed.GetValue(_blocks) ?? (device.type == DeviceType.CUDA ? shape.Config.BlockCount : 1);
        var figures = ProgressBars.Run(output, "decomposing", report => recipe.Importance == Importance.None
            ? new DecomposeBench(shape, recipe, device, blocks, parsed.GetValue(_plain), threads).Run(report, cancel)
            : Calibrated(parsed, shape, recipe, device, blocks, threads).Run(report, cancel));
        var machine = device.type == DeviceType.CUDA ? CudaDevice.Get(device).Name : $"{threads} threads";
        output.Result(Json(shape, recipe, machine, figures), screen => Print(screen, shape, recipe, machine, figures));
    }

    private OutputAwareBench Calibrated(ParseResult parsed, ModelShape shape, Recipe recipe, Device device, int blocks, int threads)
    {
        var (tokens, length) = (parsed.GetRequiredValue(_tokens), parsed.GetRequiredValue(_length));
        if (length < 1 || tokens < length)
            throw new InvalidInputException($"--tokens is {tokens} and --length {length}: at least one sequence of at least one token is needed");
        var options = new CalibrationOptions { Device = device, DType = SharedOptions.ParseDType(parsed.GetValue(_dtype), device) };
        return new OutputAwareBench(shape, recipe, options, tokens / length, length, blocks, threads);
    }

    private static JsonObject Json(ModelShape shape, Recipe recipe, string machine, DecomposeFigures figures) => new()
    {
        ["shape"] = shape.Name,
        ["recipe"] = JsonNode.Parse(recipe.ToCanonicalJson()),
        ["machine"] = machine,
        ["libtorch"] = Natives.Version.ToString(),
        ["weights"] = figures.Weights,
        ["allWeights"] = figures.AllWeights,
        ["seconds"] = figures.Seconds,
        ["totalSeconds"] = figures.TotalSeconds,
        ["secondsPer100M"] = figures.SecondsPer100M,
        ["wholeModelSeconds"] = figures.WholeSeconds,
        ["peakBytes"] = figures.PeakBytes,
        ["relativeError"] = figures.RelativeError,
        ["relativeOutputErrorAfterStep"] = new JsonArray([.. figures.OutputErrorAfterStep.Select(error => JsonValue.Create(error))]),
    };

    private static void Print(IAnsiConsole screen, ModelShape shape, Recipe recipe, string machine, DecomposeFigures figures)
    {
        var grid = new Grid().AddColumn().AddColumn();
        grid.AddRow("shape", Markup.Escape($"{shape.Name}, {Units.Count(figures.AllWeights)} weights in linear layers; {Units.Count(figures.Weights)} decomposed"));
        grid.AddRow("recipe", Markup.Escape(recipe.ToString()));
        grid.AddRow("machine", Markup.Escape($"{machine}, libtorch {Natives.Version}"));
        grid.AddRow("time", $"{Number(figures.Seconds)} s, {Number(figures.SecondsPer100M)} s per 100 M weights, {Number(figures.WholeSeconds)} s for the whole model");
        grid.AddRow(recipe.Importance == Importance.None ? "with making the weights" : "with the calibration", $"{Number(figures.TotalSeconds)} s");
        grid.AddRow("peak memory", Units.Bytes(figures.PeakBytes));
        grid.AddRow("weight error", figures.RelativeError.ToString("0.000000", CultureInfo.InvariantCulture));
        if (figures.OutputErrorAfterStep.Count > 0)
            grid.AddRow("output error by step", string.Join(" ", figures.OutputErrorAfterStep.Select(error => error.ToString("0.00000", CultureInfo.InvariantCulture))));
        screen.Write(grid);
    }

    private static string Number(double value) => value.ToString(value < 10 ? "0.000" : "0.0", CultureInfo.InvariantCulture);
}
