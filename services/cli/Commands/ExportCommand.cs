using System.CommandLine;
using System.Text.Json.Nodes;
using Qbb.Checkpoints;
using Qbb.Cli.Hub;
using Qbb.Cli.Terminal;
using Qbb.Models;
using Qbb.Quantizer.Driver;

namespace Qbb.Cli.Commands;

/// <summary><c>qbb export</c>: a quantized model as plain weights that load anywhere.</summary>
internal sealed class ExportCommand : QbbCommand
{
    private readonly Argument<string> _model = SharedOptions.Model("A folder that qbb wrote, any Hugging Face folder, or a GGUF file.");
    private readonly Option<string> _format = new("--format") { Description = "fp16, bf16 or fp32.", DefaultValueFactory = _ => "fp16" };
    private readonly Option<int?> _bases = SharedOptions.FirstBases();
    private readonly Option<string> _output = SharedOptions.OutputFolder();
    private readonly Option<bool> _force = SharedOptions.Force();

    public ExportCommand() : base("export", "Writes a model's full-size weights, for transformers and other tools.",
        "qbb export OUT --format fp16 -o plain", "qbb export model.gguf -o folder")
    {
        Arguments.Add(_model);
        Options.Add(_format);
        Options.Add(_bases);
        Options.Add(_output);
        Options.Add(_force);
        _format.AcceptOnlyFromAmong("fp16", "bf16", "fp32");
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        using var source = ModelSource.Open(HubModels.Local(parsed.GetRequiredValue(_model), output, cancel));
        var type = parsed.GetRequiredValue(_format) switch { "fp16" => "F16", "bf16" => "BF16", _ => "F32" };
        var folder = parsed.GetRequiredValue(_output);
        var bytes = ProgressBars.Run(output, "writing", report => DenseExport.Write(
            source, folder, type, parsed.GetValue(_force), parsed.GetValue(_bases),
            new Relay<(string Tensor, int Done, int Total)>(p => report(p.Done, p.Total, p.Tensor)), cancel));
        output.Result(new JsonObject { ["output"] = folder, ["bytes"] = bytes, ["format"] = parsed.GetRequiredValue(_format) },
            _ => Console.Out.WriteLine($"wrote {folder} ({Units.Bytes(bytes)})"));
    }
}
