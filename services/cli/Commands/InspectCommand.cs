using System.CommandLine;
using System.Text.Json.Nodes;
using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Cli.Terminal;
using Qbb.Models;
using Qbb.Models.Decoder;
using Spectre.Console;

namespace Qbb.Cli.Commands;

/// <summary><c>qbb inspect</c>: what a model or a file is, from its headers alone.</summary>
internal sealed class InspectCommand : QbbCommand
{
    private readonly Argument<string> _path = SharedOptions.Model("A Hugging Face folder, or one .gguf or .safetensors file.");
    private readonly Option<bool> _all = new("--all") { Description = "List every tensor, not one line for those that differ in their block alone." };

    public InspectCommand() : base("inspect", "Tells what a model or a file is: architecture, tensors, types, sizes.",
        "qbb inspect MODEL", "qbb inspect model.gguf --all", "qbb inspect model-00001-of-00002.safetensors --json")
    {
        Arguments.Add(_path);
        Options.Add(_all);
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        var inspection = CheckpointInspector.Inspect(parsed.GetRequiredValue(_path));
        var (quantize, generate) = Problems(inspection.Path);
        var json = inspection.ToJson();
        json["problems"] = new JsonObject { ["quantize"] = quantize, ["generate"] = generate };
        output.Result(json, screen => Print(screen, inspection, (quantize, generate), parsed.GetValue(_all)));
    }

    /// <summary>Why the model cannot be quantized, or scored and run; null where it can. Headers alone tell; what they warn of is reported meanwhile.</summary>
    private static (string? Quantize, string? Generate) Problems(string path)
    {
        try
        {
            using var source = ModelSource.Open(path);
            var layout = DecoderLayout.Resolve(DecoderConfig.FromJson(source.ConfigJson), source.Tensors);
            var isQuantized = layout.Linears.Any(layer => BasesTensors.Contains(source.Tensors, layer.Module));
            return (isQuantized ? "is quantized already" : null, TokenizerProblem(source));
        }
        catch (InvalidInputException e)
        {
            return (e.Message, e.Message);
        }
    }

    private static string? TokenizerProblem(ModelSource source)
    {
        try
        {
            source.LoadTokenizer();
            return null;
        }
        catch (InvalidInputException e)
        {
            return e.Message;
        }
    }

    private static void Print(IAnsiConsole screen, Inspection inspection, (string? Quantize, string? Generate) problems, bool all)
    {
        var head = new Grid().AddColumn().AddColumn();
        head.AddRow("what", Markup.Escape(string.Join(", ", new[] { inspection.Kind, inspection.Architecture, inspection.Quantization }.OfType<string>())));
        head.AddRow("parameters", $"{Units.Count(inspection.Elements)} in {inspection.Tensors.Count} tensors, {Units.Bytes(inspection.Bytes)}");
        head.AddRow("types", Markup.Escape(string.Join(", ", inspection.Types.Select(t => $"{t.Type}: {t.Tensors} tensors, {Units.Bytes(t.Bytes)}"))));
        head.AddRow("files", Markup.Escape(string.Join(", ", inspection.Files.Select(f => $"{f.Name} ({Units.Bytes(f.Bytes)})"))));
        head.AddRow("quantize", Markup.Escape(problems.Quantize is null ? "yes" : $"no: {problems.Quantize}"));
        if (problems.Generate is null || problems.Generate != problems.Quantize)
            head.AddRow("eval, generate", Markup.Escape(problems.Generate is null ? "yes" : $"no: {problems.Generate}"));
        screen.Write(head);
        var table = new Table().AddColumn(new TableColumn("tensor").NoWrap()).AddColumns("type", "shape").AddColumn(new TableColumn("size").RightAligned()).Border(TableBorder.Simple);
        foreach (var (name, first, count) in Groups(inspection, all))
        {
            string[] cells = [name, first.Type, $"[{string.Join(", ", first.Shape)}]", count == 1 ? Units.Bytes(first.Bytes) : $"{count} × {Units.Bytes(first.Bytes)}"];
            table.AddRow([.. cells.Select(Markup.Escape)]);
        }
        screen.Write(table);
    }

    // Block after block has the same tensors: "model.layers.{0-29}.mlp.up_proj.weight".
    private static IEnumerable<(string Name, TensorEntry First, int Count)> Groups(Inspection inspection, bool all)
    {
        if (all)
            return inspection.Tensors.Select(t => (t.Name, t, 1));
        return inspection.Tensors.GroupBy(t => (Pattern: BlockNumber.Blank(t.Name), t.Type, Shape: string.Join(',', t.Shape))).Select(group =>
        {
            var numbers = group.Select(t => BlockNumber.Of(t.Name)).OfType<int>().Order().ToArray();
            var label = numbers.Length == 0 ? group.Key.Pattern
                : group.Key.Pattern.Replace("{}", numbers.Length == 1 ? $"{numbers[0]}" : $"{{{BlockNumber.Ranges(numbers)}}}", StringComparison.Ordinal);
            return (label, group.First(), group.Count());
        });
    }
}
