using System.CommandLine;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Qbb.Bench.Targets;
using Qbb.Checkpoints;
using Qbb.Cli.Commands;
using Qbb.Cli.Terminal;
using Qbb.Models;
using Qbb.Models.Decoder;
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
    private readonly Option<string?> _format = new("--format") { Description = "A target of qbb quantize: the type of the layers; embedding and head become Q8_0." };
    private readonly Option<string?> _mix = new("--mix") { Description = "One of llama.cpp's mixtures instead, with its types of each tensor." };
    private readonly Option<string?> _data = new("--data") { Description = "With --mix: data of qbb sample, for the importance matrix." };
    private readonly Option<string?> _expanded = new("--expanded") { Description = "With --mix: also a file of the same numbers in F32, by llama.cpp's own expansion, for qbb eval." };
    private readonly Option<string> _library = new("--library") { Description = "llama.cpp's libggml-base.so.", Required = true };
    private readonly Option<string> _output = SharedOptions.OutputFolder("The GGUF file.");
    private readonly Option<bool> _force = SharedOptions.Force();

    public BenchGgmlCommand() : base("ggml", "Quantizes a model with llama.cpp's own rounding, to compare with qbb quantize.",
        "qbb-bench ggml samples/teacher --format gguf-q2_0 --library libggml-base.so -o ggml.gguf",
        "qbb-bench ggml samples/teacher --mix Q3_K_M --data data --library libggml-base.so -o ggml.gguf --expanded f32.gguf")
    {
        Arguments.Add(_model);
        foreach (var option in new Option[] { _format, _mix, _data, _expanded, _library, _output, _force })
            Options.Add(option);
        _format.AcceptOnlyFromAmong([.. Target.All.Select(target => target.Name)]);
        _mix.AcceptOnlyFromAmong([.. GgmlMix.All]);
        Validators.Add(result =>
        {
            if (result.GetValue(_format) is null == result.GetValue(_mix) is null)
                result.AddError("give --format or --mix");
            if (result.GetValue(_mix) is null && (result.GetValue(_data) ?? result.GetValue(_expanded)) is not null)
                result.AddError("--data and --expanded go with --mix");
        });
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        var quantizer = new GgmlQuantizer(parsed.GetRequiredValue(_library));
        using var source = ModelSource.Open(parsed.GetRequiredValue(_model));
        var (path, force) = (parsed.GetRequiredValue(_output), parsed.GetValue(_force));
        var file = parsed.GetValue(_mix) is { } mix ? Mixed(source, path, force, mix, parsed.GetValue(_data), parsed.GetValue(_expanded), quantizer, cancel)
            : GgufExport.Write(source, path, parsed.GetValue(_format)!, force, null, (_, type, rows, columns) => quantizer.Encode(type, rows, columns), null, cancel);
        var types = string.Join(", ", file.Types.Select(type => $"{type.Key} {type.Value}"));
        output.Result(new JsonObject { ["output"] = path, ["bytes"] = file.Bytes, ["tensors"] = types }, _ => Console.Out.WriteLine($"wrote {path} ({Units.Bytes(file.Bytes)}; tensors: {types})"));
    }

    private static GgufExportResult Mixed(ModelSource source, string path, bool force, string name, string? data, string? expanded, GgmlQuantizer quantizer, CancellationToken cancel)
    {
        var config = DecoderConfig.FromJson(source.ConfigJson);
        var mix = new GgmlMix(name, config);
        var places = new GgufPlaces(config.ModelType, config.HeadCount, config.KeyValueHeadCount);
        var importance = data is null ? [] : ColumnImportance.Of(source, data).ToDictionary(found => places.Of(source.Tensors.Describe(found.Key)).Name, found => found.Value);
        var layout = DecoderLayout.Resolve(config, source.Tensors);
        var columns = layout.TensorNames.Distinct().Select(source.Tensors.Describe).Where(entry => entry.Shape.Count == 2).ToDictionary(entry => places.Of(entry).Name, entry => (int)entry.Shape[1]);
        byte[] Encode(string tensor, string type, ReadOnlySpan<float> rows, int width) => quantizer.Encode(type, rows, width, importance.GetValueOrDefault(tensor));
        var file = GgufExport.Write(source, path, GgufExport.F16, force, null, Encode, null, cancel, tensor => mix.TypeOf(tensor, columns[tensor]));
        if (expanded is not null)
        {
            GgufExport.Write(source, expanded, GgufExport.F32, force, null, (tensor, _, rows, width) =>
            {
                var type = mix.TypeOf(tensor, width);
                return MemoryMarshal.AsBytes<float>(quantizer.Decode(type, Encode(tensor, type, rows, width), rows.Length)).ToArray();
            }, null, cancel, _ => "F32");
        }
        return file;
    }
}
