using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using Qbb.Quantizer.Recipes;
using Qbb.Standalone.Benchmarks;
using Qbb.Standalone.Terminal;
using Qbb.Torch;
using Qbb.Torch.Cuda;
using Spectre.Console;

namespace Qbb.Standalone.Commands;

/// <summary><c>qbb bench decompose</c>: the time that a model of some shape takes to decompose.</summary>
internal sealed class BenchDecomposeCommand : QbbCommand
{
    private readonly Option<string> _shape = new("--shape") { Description = "7b for LLaMA-2-7B's, or a model whose shape to take.", DefaultValueFactory = _ => "7b" };
    private readonly Option<int> _bases = new("--bases", "-n") { Description = "N, binary matrices per layer.", DefaultValueFactory = _ => 4 };
    private readonly Option<int?> _group = new("--group", "-g") { Description = "Inputs that share a scale, or row.", DefaultValueFactory = _ => 128, CustomParser = SharedOptions.ParseGroup };
    private readonly Option<Refinement> _refine = new("--refine") { Description = "How signs and scales are improved.", DefaultValueFactory = _ => Refinement.Alternating };
    private readonly Option<Starts?> _starts = new("--starts") { Description = "Starting points of alternating refinement. Default: both." };
    private readonly Option<int?> _rounds = new("--rounds") { Description = "Rounds of refinement. Default: 15." };
    private readonly Option<int?> _blocks = new("--blocks") { Description = "Transformer blocks to decompose; the rest is reckoned at their rate. Default: all on a GPU, 1 on the CPU." };
    private readonly Option<bool> _plain = new("--plain") { Description = "On a GPU: tensor operations alone, without fused kernels." };
    private readonly Option<string> _device = SharedOptions.Device();
    private readonly Option<int?> _threads = SharedOptions.Threads();

    public BenchDecomposeCommand() : base("decompose", "Decomposes random weights of a model's shape; nothing is stored.",
        "qbb bench decompose --shape 7b --bases 4 --device cuda", "qbb bench decompose --shape MODEL --bases 3 --device cpu")
    {
        foreach (var option in (Option[])[_shape, _bases, _group, _refine, _starts, _rounds, _blocks, _plain, _device, _threads])
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
            Group = parsed.GetValue(_group),
            Refinement = parsed.GetRequiredValue(_refine),
            Starts = parsed.GetValue(_starts),
            Rounds = parsed.GetValue(_rounds),
        }.Resolve();
        var blocks = parsed.GetValue(_blocks) ?? (device.Type == DeviceType.CUDA ? shape.Config.BlockCount : 1);
        var bench = new DecomposeBench(shape, recipe, device, blocks, parsed.GetValue(_plain), threads);
        var figures = ProgressBars.Run(output, "decomposing", report => bench.Run(report, cancel));
        var machine = device.Type == DeviceType.CUDA ? CudaDevice.Get(device).Name : $"{threads} threads";
        output.Result(Json(shape, recipe, machine, figures), screen => Print(screen, shape, recipe, machine, figures));
    }

    private static JsonObject Json(ModelShape shape, Recipe recipe, string machine, DecomposeFigures figures) => new()
    {
        ["shape"] = shape.Name,
        ["recipe"] = JsonNode.Parse(recipe.ToCanonicalJson()),
        ["machine"] = machine,
        ["libtorch"] = torch.version,
        ["weights"] = figures.Weights,
        ["allWeights"] = figures.AllWeights,
        ["seconds"] = figures.Seconds,
        ["secondsWithMakingWeights"] = figures.TotalSeconds,
        ["secondsPer100M"] = figures.SecondsPer100M,
        ["wholeModelSeconds"] = figures.WholeSeconds,
        ["peakBytes"] = figures.PeakBytes,
        ["peakReservedBytes"] = figures.ReservedBytes,
        ["relativeError"] = figures.RelativeError,
    };

    private static void Print(IAnsiConsole screen, ModelShape shape, Recipe recipe, string machine, DecomposeFigures figures)
    {
        var grid = new Grid().AddColumn().AddColumn();
        grid.AddRow("shape", Markup.Escape($"{shape.Name}, {Units.Count(figures.AllWeights)} weights in linear layers; {Units.Count(figures.Weights)} decomposed"));
        grid.AddRow("recipe", Markup.Escape(recipe.ToString()));
        grid.AddRow("machine", Markup.Escape($"{machine}, libtorch {torch.version}"));
        grid.AddRow("time", $"{Number(figures.Seconds)} s, {Number(figures.SecondsPer100M)} s per 100 M weights, {Number(figures.WholeSeconds)} s for the whole model");
        grid.AddRow("with making the weights", $"{Number(figures.TotalSeconds)} s");
        grid.AddRow("peak memory", figures.ReservedBytes > 0 ? $"{Units.Bytes(figures.PeakBytes)} in tensors, {Units.Bytes(figures.ReservedBytes)} held" : Units.Bytes(figures.PeakBytes));
        grid.AddRow("weight error", figures.RelativeError.ToString("0.000000", CultureInfo.InvariantCulture));
        screen.Write(grid);
    }

    private static string Number(double value) => value.ToString(value < 10 ? "0.000" : "0.0", CultureInfo.InvariantCulture);
}
