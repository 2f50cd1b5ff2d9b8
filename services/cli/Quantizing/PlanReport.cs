using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Qbb.Cli.Terminal;
using Qbb.Models;
using Qbb.Recipes;
using Spectre.Console;

namespace Qbb.Cli.Quantizing;

/// <summary>What a quantization will do, before it does it.</summary>
/// <param name="plan">The stages.</param>
/// <param name="mixed">How N is chosen layer by layer; null for one N.</param>
/// <param name="model">The model.</param>
/// <param name="source">Its size.</param>
internal sealed class PlanReport(QuantizationPlan plan, MixedPlan? mixed, ModelCounts model, ModelSize source)
{
    private const double MostBits = 8;

    private double BitsPerWeight => 8.0 * (plan.OutputBytes - WorkPlan.OtherBytes(model, plan.Decomposition)) / model.LinearWeights;

    private double BitsPerParameter => 8.0 * OutputBytes / model.Weights;

    private long OutputBytes => mixed is null ? plan.OutputBytes
        : (long)(mixed.Bits * model.LinearWeights / 8) + WorkPlan.OtherBytes(model, plan.Decomposition);

    private double SourceBits => source.BitsPerParameter;

    /// <summary>Refuses what costs more than rounding to 8 bits.</summary>
    public void Refuse(bool allowLarger)
    {
        if (allowLarger || mixed is not null || plan.Decomposition.Target is not null || BitsPerWeight <= MostBits)
            return;
        throw new InvalidInputException(FormattableString.Invariant(
            $"{plan.Decomposition.Bases} bases with a scale per {plan.Decomposition.Group?.ToString(CultureInfo.InvariantCulture) ?? "row"} inputs take {BitsPerWeight:0.0} bits per weight, more than plain 8-bit rounding: use fewer --bases or a larger --group, or insist with --allow-larger"));
    }

    /// <summary>Says on stderr what follows, and warns of what a person may not want.</summary>
    public void Announce(Output output)
    {
        foreach (var warning in Warnings())
            output.Warning(warning);
        output.Note($"plan: {Summary()}");
    }

    public JsonObject Json() => new()
    {
        ["preset"] = plan.Preset.NameOf(),
        ["stages"] = new JsonArray([.. plan.Stages.Select(stage => new JsonObject
        {
            ["name"] = stage.Name,
            ["detail"] = stage.Detail,
            ["seconds"] = Known(stage.Estimate.Seconds),
            ["memoryBytes"] = stage.Estimate.MemoryBytes,
            ["gpuBytes"] = stage.Estimate.GpuBytes,
            ["diskBytes"] = stage.DiskBytes,
        })]),
        ["seconds"] = plan.HasEstimate ? plan.Seconds : null,
        ["memoryBytes"] = plan.MemoryBytes,
        ["gpuBytes"] = plan.GpuBytes,
        ["diskBytes"] = plan.DiskBytes,
        ["outputBytes"] = OutputBytes,
        ["sourceBytes"] = source.Bytes,
        ["bitsPerWeight"] = mixed?.Bits ?? BitsPerWeight,
        ["bitsPerParameter"] = BitsPerParameter,
        ["sourceBitsPerParameter"] = SourceBits,
        ["expectedPerplexityRatio"] = Expected() is { } expected ? new JsonObject { ["least"] = expected.Least, ["most"] = expected.Most } : null,
        ["warnings"] = new JsonArray([.. Warnings().Select(warning => (JsonNode)warning)]),
        // For push --recipe and policies.
        ["recipe"] = JsonNode.Parse(plan.ToRecipeJson()),
    };

    public void Print(IAnsiConsole screen)
    {
        var table = new Table().Border(TableBorder.Simple).AddColumns("stage", "");
        foreach (var title in new[] { "time", "memory", "GPU", "disk" })
            table.AddColumn(new TableColumn(title).RightAligned().NoWrap());
        foreach (var (name, detail, estimate, disk) in plan.Stages)
        {
            string Size(long bytes) => bytes > 0 ? Units.Bytes(bytes) : "";
            table.AddRow(name, Markup.Escape(detail), Known(estimate.Seconds) is { } seconds ? PlannedWork.Time(seconds) : "no estimate", Size(estimate.MemoryBytes),
                Size(estimate.GpuBytes), Size(disk));
        }
        screen.Write(table);
        Console.Out.WriteLine($"in all: {Summary()}");
        if (Expected() is { } expected)
        {
            Console.Out.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"expected perplexity: {expected.Least:0.00} to {expected.Most:0.00} × the original's, by measured models (docs/results.md); larger models usually lose less"));
        }
        foreach (var warning in Warnings())
            Console.Out.WriteLine("warning: " + warning);
    }

    private static double? Known(double seconds) => seconds > 0 ? seconds : null;

    private MeasuredQuality? Expected() => mixed is null ? MeasuredQuality.Of(plan) : null;

    private string Summary() => string.Create(CultureInfo.InvariantCulture,
        $"{(plan.HasEstimate ? "about " + PlannedWork.Time(plan.Seconds) + ", " : "")}{Units.Bytes(plan.MemoryBytes)} of memory; "
        + $"{Units.Bytes(OutputBytes)} ({BitsPerParameter:0.00} bits per parameter) from {Units.Bytes(source.Bytes)} ({SourceBits:0.00})");

    private IEnumerable<string> Warnings()
    {
        if (SourceBits < 12)
        {
            yield return FormattableString.Invariant(
                $"the model is already quantized ({SourceBits:0.0} bits per parameter) and its quality loss remains: start from the original if you have it");
        }
        if (OutputBytes > source.Bytes)
            yield return $"the result ({Units.Bytes(OutputBytes)}) is larger than the model ({Units.Bytes(source.Bytes)}): use fewer --bases, or --size";
        if (plan.Preset == Preset.Weights && plan.Decomposition.Bases < 4 && !plan.Decomposition.IsRounding)
            yield return $"--preset weights with {plan.Decomposition.Bases} bases usually gives an unusable model: --preset fast or balanced samples text from the model and keeps its quality";
        if (plan.Preset >= Preset.Balanced && plan.Distillation is null)
            yield return $"nothing is distilled: on this machine the time of --preset {plan.Preset.NameOf()} ends with the decomposition";
    }
}

/// <summary>How a planned quantization came out.</summary>
internal static class PlannedReport
{
    public static void Warn(Output output, PlannedResult result)
    {
        if (result.Size.Bytes > result.Source.Bytes)
            output.Warning($"the result ({Units.Bytes(result.Size.Bytes)}) is larger than the model ({Units.Bytes(result.Source.Bytes)})");
    }

    public static JsonObject Json(PlannedResult result)
    {
        var json = new JsonObject
        {
            ["output"] = result.Folder,
            ["preset"] = result.Plan.Preset.NameOf(),
            ["start"] = JsonSerializer.SerializeToNode(result.Start, JsonSerializerOptions.Web),
            ["end"] = JsonSerializer.SerializeToNode(result.End, JsonSerializerOptions.Web),
            ["bases"] = result.Recipe.Bases,
            ["bytes"] = result.Size.Bytes,
            ["bitsPerParameter"] = result.Size.BitsPerParameter,
            ["bitsPerWeight"] = result.Size.EffectiveBitsPerWeight,
            ["sourceBytes"] = result.Source.Bytes,
            ["sourceBitsPerParameter"] = result.Source.BitsPerParameter,
            ["seconds"] = result.Seconds,
            ["plannedSeconds"] = result.Plan.HasEstimate ? result.Plan.Seconds : null,
        };
        if (result.Distilled is { } distilled)
        {
            json["bestStep"] = distilled.BestStep;
            json["curve"] = JsonSerializer.SerializeToNode(distilled.Curve, JsonSerializerOptions.Web);
            json["resumedFrom"] = distilled.ResumedFrom;
            json["rateLoweredAt"] = distilled.LoweredAt;
        }
        return json;
    }

    public static void Print(IAnsiConsole screen, PlannedResult result)
    {
        var grid = new Grid().AddColumn().AddColumn();
        void Row(string name, FormattableString value) =>
            grid.AddRow(Markup.Escape(name), Markup.Escape(value.ToString(CultureInfo.InvariantCulture)));
        Row("output", $"{result.Folder}");
        if (result.Distilled is { } distilled)
        {
            Row("KL to the original", $"{result.Start.Kl:0.0000} before distillation, {result.End.Kl:0.0000} after, nats per token on held-out sampled text");
            Row("kept", $"step {distilled.BestStep} of {distilled.Curve[^1].Step}{(distilled.ResumedFrom > 0 ? $", {distilled.ResumedFrom} of an earlier run" : "")}");
        }
        else
        {
            Row("KL to the original", $"{result.End.Kl:0.0000} nats per token on held-out sampled text");
        }
        Row("linear layers", $"{result.Size.EffectiveBitsPerWeight:0.000} bits/weight");
        Row("whole model", $"{Units.Bytes(result.Size.Bytes)}, {result.Size.BitsPerParameter:0.000} bits/parameter (source: {Units.Bytes(result.Source.Bytes)}, {result.Source.BitsPerParameter:0.000})");
        Row("time", $"{result.Seconds:0.0} s");
        screen.Write(grid);
    }
}
