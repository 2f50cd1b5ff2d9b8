using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using Qbb.Checkpoints;
using Qbb.Cli.Hub;
using Qbb.Cli.Loading;
using Qbb.Cli.Quantizing;
using Qbb.Cli.Terminal;
using Qbb.Evaluator.Accounting;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Driver;
using Spectre.Console;

namespace Qbb.Cli.Commands;

/// <summary><c>qbb inspect</c>: what a model or a file is, from its headers alone.</summary>
internal sealed class InspectCommand : QbbCommand
{
    private readonly Argument<string> _path = SharedOptions.Model("A Hugging Face folder, or one .gguf or .safetensors file.");
    private readonly Option<bool> _all = new("--all") { Description = "List every tensor, not one line for those that differ in their block alone." };

    private readonly PlanOptions _plan = new();

    public InspectCommand() : base("inspect", "Shows what a model or file contains, which commands will run on it, and how long they take, from headers alone.",
        "qbb inspect MODEL", "qbb inspect MODEL --plan --bases 3", "qbb inspect model.gguf --all", "qbb inspect model-00001-of-00002.safetensors --json")
    {
        Arguments.Add(_path);
        Options.Add(_all);
        foreach (var option in _plan.All)
            Options.Add(option);
        Validators.Add(_plan.CheckTogether);
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        var inspection = CheckpointInspector.Inspect(HubModels.Local(parsed.GetRequiredValue(_path), output, cancel));
        var outlook = Outlook.Of(inspection.Path, (source, config, layout) => _plan.Read(parsed, source, config, layout));
        var json = inspection.ToJson();
        if (outlook.Size is { } size)
        {
            json["parameters"] = size.Model.Parameters;
            json["bytes"] = size.Bytes;
            json["bitsPerParameter"] = size.BitsPerParameter;
            json["bitsPerWeight"] = size.EffectiveBitsPerWeight;
        }
        json["problems"] = new JsonObject { ["quantize"] = outlook.Quantize, ["generate"] = outlook.Generate };
        if (outlook.Plan is not null)
            json["plan"] = PlannedWork.Json(outlook.Plan);
        output.Result(json, screen => Print(screen, inspection, outlook, parsed.GetValue(_all)));
    }

    /// <summary>What commands will do with a model. Headers alone tell; what they will warn of is reported meanwhile.</summary>
    /// <param name="Quantize">Why it cannot be quantized; null where it can.</param>
    /// <param name="Generate">Why it cannot be scored and run; null where it can.</param>
    /// <param name="Size">Of the whole model; null where it cannot be read.</param>
    /// <param name="Plan">What that takes; null where nobody asked, or the model cannot be read.</param>
    private sealed record Outlook(string? Quantize, string? Generate, ArtifactSize? Size, IReadOnlyList<PlannedWork>? Plan)
    {
        public static Outlook Of(string path, Func<ModelSource, DecoderConfig, DecoderLayout, IReadOnlyList<PlannedWork>?> plan)
        {
            try
            {
                using var source = ModelSource.Open(path);
                var config = DecoderConfig.FromJson(source.ConfigJson);
                var layout = DecoderLayout.Resolve(config, source.Tensors);
                return new(
                    ProblemOf(() => QuantizableModel.Open(path).Dispose()),
                    ProblemOf(() => LoadedModel.ReadTokenizer(source, config.VocabularySize)),
                    ArtifactSize.Of(source),
                    plan(source, config, layout));
            }
            catch (InvalidInputException e)
            {
                return new(e.Message, e.Message, null, null);
            }
        }

        private static string? ProblemOf(Action open)
        {
            try
            {
                open();
                return null;
            }
            catch (InvalidInputException e)
            {
                return e.Message;
            }
        }
    }

    private static void Print(IAnsiConsole screen, Inspection inspection, Outlook outlook, bool all)
    {
        var head = new Grid().AddColumn().AddColumn();
        head.AddRow("what", Markup.Escape(string.Join(", ", new[] { inspection.Kind, inspection.Architecture, inspection.Packed ?? inspection.Quantization }.OfType<string>())));
        head.AddRow("parameters", $"{Units.Count(outlook.Size?.Model.Parameters ?? inspection.Elements)} in {inspection.Tensors.Count} tensors, {Units.Bytes(inspection.Bytes)}");
        if (outlook.Size is { } size)
            head.AddRow("whole model", string.Create(CultureInfo.InvariantCulture, $"{Units.Bytes(size.Bytes)}, {size.BitsPerParameter:0.000} bits/parameter; linear layers {size.EffectiveBitsPerWeight:0.000} bits/weight"));
        head.AddRow("types", Markup.Escape(string.Join(", ", inspection.Types.Select(t => $"{t.Type}: {t.Tensors} tensors, {Units.Bytes(t.Bytes)}"))));
        head.AddRow("files", Markup.Escape(string.Join(", ", inspection.Files.Select(f => $"{f.Name} ({Units.Bytes(f.Bytes)})"))));
        head.AddRow("quantize", Markup.Escape(outlook.Quantize is null ? "yes" : $"no: {outlook.Quantize}"));
        if (outlook.Generate is null || outlook.Generate != outlook.Quantize)
            head.AddRow("eval, generate", Markup.Escape(outlook.Generate is null ? "yes" : $"no: {outlook.Generate}"));
        screen.Write(head);
        if (outlook.Plan is not null)
            PlannedWork.Print(screen, outlook.Plan);
        List<string[]> rows = [.. Groups(inspection, all).Select(group => (string[])[group.Name, group.First.Type, $"[{string.Join(", ", group.First.Shape)}]",
            group.Count == 1 ? Units.Bytes(group.First.Bytes) : $"{group.Count} × {Units.Bytes(group.First.Bytes)}"])];
        // A table that does not fit would break names.
        if (Enumerable.Range(0, 4).Sum(column => rows.Max(row => row[column].Length) + 2) + 2 > screen.Profile.Width)
        {
            foreach (var row in rows)
                Console.Out.WriteLine($"{row[0]}\n    {string.Join("  ", row[1..])}");
            return;
        }
        var table = new Table().AddColumns("tensor", "type", "shape").AddColumn(new TableColumn("size").RightAligned()).Border(TableBorder.Simple);
        foreach (var row in rows)
            table.AddRow([.. row.Select(Markup.Escape)]);
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
