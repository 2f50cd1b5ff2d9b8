using System.CommandLine;
using System.Text.Json.Nodes;
using Qbb.Bench.Targets;
using Qbb.Checkpoints;
using Qbb.Cli.Commands;
using Qbb.Cli.Terminal;
using Qbb.Models;
using Qbb.Quantizer.Driver;
using Qbb.Recipes;

namespace Qbb.Bench.Commands;

/// <summary><c>qbb-bench twin</c>: the same function with weights on no grid.</summary>
internal sealed class BenchTwinCommand : QbbCommand
{
    private readonly Argument<string> _model = SharedOptions.Model("A model of type llama, such as a quantized GGUF file.");
    private readonly Option<string> _output = SharedOptions.OutputFolder();
    private readonly Option<ulong> _seed = new("--seed") { Description = "Random seed of the scales.", DefaultValueFactory = _ => 1 };
    private readonly Option<bool> _force = SharedOptions.Force();

    public BenchTwinCommand() : base("twin", "Writes a model that computes the same with weights on no grid, to compare quantizations of what is a quantized file.",
        "qbb-bench twin smol.gguf -o twin")
    {
        Arguments.Add(_model);
        foreach (var option in new Option[] { _output, _seed, _force })
            Options.Add(option);
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        using var source = ModelSource.Open(parsed.GetRequiredValue(_model));
        var folder = parsed.GetRequiredValue(_output);
        OffGridTwin.Write(source, folder, parsed.GetValue(_seed), parsed.GetValue(_force));
        output.Result(new JsonObject { ["output"] = folder }, _ => Console.Out.WriteLine($"wrote {folder}"));
    }
}

/// <summary><c>qbb-bench ggml</c>: llama.cpp's own quantization, to compare with a target of ours.</summary>
internal sealed class BenchGgmlCommand : QbbCommand
{
    private readonly Argument<string> _model = SharedOptions.Model("A model that is not quantized.");
    private readonly Option<string> _format = new("--format") { Description = "A target of qbb quantize: the type of the layers; embedding and head become Q8_0.", Required = true };
    private readonly Option<string> _library = new("--library") { Description = "llama.cpp's libggml-base.so.", Required = true };
    private readonly Option<string> _output = SharedOptions.OutputFolder("The GGUF file.");
    private readonly Option<bool> _force = SharedOptions.Force();

    public BenchGgmlCommand() : base("ggml", "Quantizes a model with llama.cpp's own rounding, without an importance matrix, to compare with qbb quantize --target.",
        "qbb-bench ggml samples/teacher --format gguf-q2_0 --library libggml-base.so -o ggml.gguf")
    {
        Arguments.Add(_model);
        foreach (var option in new Option[] { _format, _library, _output, _force })
            Options.Add(option);
        _format.AcceptOnlyFromAmong([.. Target.All.Select(target => target.Name)]);
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        var quantizer = new GgmlQuantizer(parsed.GetRequiredValue(_library));
        using var source = ModelSource.Open(parsed.GetRequiredValue(_model));
        var (path, format) = (parsed.GetRequiredValue(_output), parsed.GetRequiredValue(_format));
        var file = GgufExport.Write(source, path, format, parsed.GetValue(_force), null, quantizer.Encode, null, cancel);
        var types = string.Join(", ", file.Types.Select(type => $"{type.Key} {type.Value}"));
        output.Result(new JsonObject { ["output"] = path, ["bytes"] = file.Bytes }, _ => Console.Out.WriteLine($"wrote {path} ({Units.Bytes(file.Bytes)}; tensors: {types})"));
    }
}
