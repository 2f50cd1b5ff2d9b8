using System.CommandLine;
using System.Text.Json.Nodes;
using Qbb.Bench.Shapes;
using Qbb.Cli.Commands;
using Qbb.Cli.Terminal;
using Qbb.Models;
using Qbb.Quantizer.Distillation;
using Qbb.Recipes;

namespace Qbb.Bench.Commands;

/// <summary><c>qbb-bench distill</c>: how fast a student of known sizes and random signs is distilled.</summary>
internal sealed class BenchDistillCommand : QbbCommand
{
    private readonly Option<string> _shape = new("--shape")
    {
        Description = "7b or 135m for the sizes of LLaMA-2-7B or SmolLM2-135M, or a model whose shape to take.",
        DefaultValueFactory = _ => "7b",
    };
    private readonly Option<int> _bases = new("--bases") { Description = "Binary matrices of a weight.", DefaultValueFactory = _ => 2 };
    private readonly Option<int> _tokens = new("--tokens") { Description = "Positions of a sequence.", DefaultValueFactory = _ => 2048 };
    private readonly Option<int> _batch = new("--batch") { Description = "Sequences of a pass.", DefaultValueFactory = _ => 8 };
    private readonly Option<int> _accumulate = new("--accumulate") { Description = "Passes of a step.", DefaultValueFactory = _ => 1 };
    private readonly Option<int> _steps = new("--steps")
    {
        Description = "Timed steps, after two that warm up.",
        DefaultValueFactory = _ => 5,
    };
    private readonly Option<string> _loss = new("--loss") { Description = "As in qbb distill.", DefaultValueFactory = _ => "kd" };
    private readonly Option<bool> _checkpointing = new("--activation-checkpointing")
    {
        Description = "Run every block twice to need less memory.",
    };
    private readonly Option<double?> _signRate = new("--sign-lr") { Description = "Train the signs, too, as in qbb distill." };
    private readonly Option<double> _features = new("--feature-weight") { Description = "As in qbb distill.", DefaultValueFactory = _ => 0 };
    private readonly Option<bool> _launches = new("--no-graph") { Description = "Launch one by one what a GPU would get as one graph." };
    private readonly Option<string> _device = SharedOptions.Device();
    private readonly Option<string?> _dtype = SharedOptions.DType();

    public BenchDistillCommand() : base("distill", "Measures the distillation of a student of random signs.",
        "qbb-bench distill --shape 7b --bases 2 --tokens 2048 --batch 8 --device cuda")
    {
        _loss.AcceptOnlyFromAmong([.. DistillationLossNames.All.Keys]);
        Option[] options = [_shape, _bases, _tokens, _batch, _accumulate, _steps, _loss, _signRate, _features, _launches, _checkpointing, _device, _dtype];
        foreach (var option in options)
            Options.Add(option);
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        var device = SharedOptions.ParseDevice(parsed.GetRequiredValue(_device));
        var (bases, tokens, steps) = (parsed.GetRequiredValue(_bases), parsed.GetRequiredValue(_tokens), parsed.GetRequiredValue(_steps));
        if (tokens < 1 || steps < 1)
            throw new InvalidInputException($"--tokens is {tokens} and --steps {steps}; they must be at least 1");
        var recipe = new DistillationRecipe
        {
            Loss = DistillationLossNames.All[parsed.GetRequiredValue(_loss)],
            Batch = parsed.GetRequiredValue(_batch),
            Accumulate = parsed.GetRequiredValue(_accumulate),
            SignRate = parsed.GetValue(_signRate),
            FeatureWeight = parsed.GetRequiredValue(_features),
            Precision = SharedOptions.ParseDType(parsed.GetValue(_dtype), device).ToPrecision(),
        };
        recipe.Resolve();
        var options = new DistillationOptions
        {
            Device = device,
            ActivationCheckpointing = parsed.GetValue(_checkpointing),
            CudaGraphs = !parsed.GetValue(_launches),
            CacheBytes = 0,
        };
        var bench = new DistillBench(ModelShape.Of(parsed.GetRequiredValue(_shape)), bases, tokens, recipe, options);
        var figures = ProgressBars.Run(output, "distilling", report => bench.Run(steps, (done, total) => report(done, total, ""), cancel));
        output.Result(
            new JsonObject { ["device"] = device.ToString(), ["libtorch"] = Natives.Version.ToString(), ["figures"] = FigureTable.Json(figures) },
            screen => FigureTable.Print(screen, figures, "measured"));
    }
}
