using System.CommandLine;
using System.Text.Json.Nodes;
using Qbb.Checkpoints;
using Qbb.Cli.Hub;
using Qbb.Cli.Terminal;
using Qbb.Models;
using Qbb.Quantizer.Driver;

namespace Qbb.Cli.Commands;

/// <summary><c>qbb export</c>: a model as plain weights that load anywhere, a GGUF file, or a folder of another quantizer's format.</summary>
internal sealed class ExportCommand : QbbCommand
{
    private readonly Argument<string> _model = SharedOptions.Model("A folder that qbb wrote, any Hugging Face folder, or a GGUF file.");
    private readonly Option<string> _format = new("--format")
    {
        Description = "fp16, bf16 or fp32: a Hugging Face folder; gguf-f16 or gguf-f32: a GGUF file for llama.cpp; gguf-q4_1 and the like: the same, bit for bit, "
            + "of a model quantized with that --target; gptq, gptq-v2, awq, compressed-tensors or hqq: a folder for vLLM, SGLang and transformers, bit for bit, of a model quantized with that --target (gptq for awq).",
        DefaultValueFactory = _ => "fp16",
    };
    private readonly Option<int?> _bases = SharedOptions.FirstBases();
    private readonly Option<string> _output = SharedOptions.OutputFolder("The folder to write, or the GGUF file.");
    private readonly Option<bool> _force = SharedOptions.Force();

    public ExportCommand() : base("export", "Writes a model for transformers, llama.cpp and other tools.",
        "qbb export OUT --format fp16 -o plain", "qbb export OUT --format gguf-q4_1 -o model.gguf", "qbb export OUT --format gptq -o served", "qbb export model.gguf -o folder")
    {
        Arguments.Add(_model);
        Options.Add(_format);
        Options.Add(_bases);
        Options.Add(_output);
        Options.Add(_force);
        _format.AcceptOnlyFromAmong(["fp16", "bf16", "fp32", .. GgufExport.Formats, .. PackedExport.Formats]);
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        using var source = ModelSource.Open(HubModels.Local(parsed.GetRequiredValue(_model), output, cancel));
        var (format, path, force, bases) = (parsed.GetRequiredValue(_format), parsed.GetRequiredValue(_output), parsed.GetValue(_force), parsed.GetValue(_bases));
        if (GgufExport.Formats.Contains(format))
        {
            var file = ProgressBars.Run(output, "writing", report => GgufExport.Write(source, path, format, force, bases, Reported(report), cancel));
            var types = string.Join(", ", file.Types.Select(type => $"{type.Key} {type.Value}"));
            var json = new JsonObject
            {
                ["output"] = path,
                ["bytes"] = file.Bytes,
                ["format"] = format,
                ["tensors"] = new JsonObject(file.Types.Select(type => KeyValuePair.Create(type.Key, (JsonNode?)type.Value))),
            };
            output.Result(json, _ => Console.Out.WriteLine($"wrote {path} ({Units.Bytes(file.Bytes)}; tensors: {types})"));
            return;
        }
        if (PackedExport.Formats.Contains(format))
        {
            var packed = ProgressBars.Run(output, "writing", report => PackedExport.Write(source, path, format, force, bases, Reported(report), cancel));
            output.Result(new JsonObject { ["output"] = path, ["bytes"] = packed.Bytes, ["format"] = format, ["description"] = packed.Description },
                _ => Console.Out.WriteLine($"wrote {path} ({Units.Bytes(packed.Bytes)}; {packed.Description})"));
            return;
        }
        var type = format switch { "fp16" => "F16", "bf16" => "BF16", _ => "F32" };
        var bytes = ProgressBars.Run(output, "writing", report => DenseExport.Write(source, path, type, force, bases, Reported(report), cancel));
        output.Result(new JsonObject { ["output"] = path, ["bytes"] = bytes, ["format"] = format }, _ => Console.Out.WriteLine($"wrote {path} ({Units.Bytes(bytes)})"));
    }

    private static Relay<(string Tensor, int Done, int Total)> Reported(Action<double, double, string> report) => new(p => report(p.Done, p.Total, p.Tensor));
}
