using System.CommandLine;
using System.Text.Json.Nodes;
using Qbb.Bench.Shapes;
using Qbb.Cli.Commands;
using Qbb.Cli.Terminal;
using Qbb.Models;
using Qbb.Models.Generation;

namespace Qbb.Bench.Commands;

/// <summary><c>qbb-bench sample</c>: how fast a teacher of known sizes and random weights samples.</summary>
internal sealed class BenchSampleCommand : QbbCommand
{
    private readonly Option<string> _shape = new("--shape")
    {
        Description = "7b or 135m for the sizes of LLaMA-2-7B or SmolLM2-135M, or a model whose shape to take.",
        DefaultValueFactory = _ => "7b",
    };
    private readonly Option<int> _batch = new("--batch") { Description = "Sequences sampled together.", DefaultValueFactory = _ => 256 };
    private readonly Option<int> _length = new("--length") { Description = "Tokens of a sequence.", DefaultValueFactory = _ => 512 };
    private readonly Option<double> _topP = new("--top-p") { Description = "As in qbb sample.", DefaultValueFactory = _ => 1 };
    private readonly Option<string> _device = SharedOptions.Device();
    private readonly Option<string?> _dtype = SharedOptions.DType();

    public BenchSampleCommand() : base("sample", "Measures sampling from a teacher of random weights.",
        "qbb-bench sample --shape 7b --batch 256 --length 512 --device cuda --dtype bf16")
    {
        foreach (var option in new Option[] { _shape, _batch, _length, _topP, _device, _dtype })
            Options.Add(option);
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        var device = SharedOptions.ParseDevice(parsed.GetRequiredValue(_device));
        var dtype = SharedOptions.ParseDType(parsed.GetValue(_dtype), device);
        var (batch, length) = (parsed.GetRequiredValue(_batch), parsed.GetRequiredValue(_length));
        if (batch < 1 || length < 3)
            throw new InvalidInputException($"--batch is {batch} and --length {length}; they must be at least 1 and 3");
        var options = new GenerationOptions { TopP = parsed.GetRequiredValue(_topP) };
        options.Validate();
        var bench = new SampleBench(ModelShape.Of(parsed.GetRequiredValue(_shape)), batch, length, device, dtype, options);
        var figures = ProgressBars.Run(output, "sampling", report => bench.Run((done, total) => report(done, total, ""), cancel));
        output.Result(
            new JsonObject { ["device"] = device.ToString(), ["libtorch"] = Natives.Version.ToString(), ["figures"] = FigureTable.Json(figures) },
            screen => FigureTable.Print(screen, figures, "measured"));
    }
}
