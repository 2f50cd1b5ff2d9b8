using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Qbb.Cli.Terminal;
using Qbb.Quantizer.Distillation;
using Spectre.Console;

namespace Qbb.Cli.Distilling;

/// <summary>How a distillation is told, while it runs and after.</summary>
internal static class DistillationReport
{
    public static Relay<DistillProgress> Progress(Action<double, double, string> report) => new(p => report(p.Step, p.Steps, string.Create(
        CultureInfo.InvariantCulture,
        $"loss {p.Loss:0.0000}, held-out KL {p.HeldOut.Kl:0.0000} (start {p.Start.Kl:0.0000}), {p.TokensPerSecond:N0} tokens/s")));

    public static void Warn(Output output, DistilledModel model)
    {
        if (model.TeacherIsOrigin == false)
            output.Warning("the teacher is not the model that the student says it was quantized from (their digests differ)");
        if (model.LoweredAt is { } step)
            output.Warning($"the loss was not finite at step {step + 1}: training rolled back to its last checkpoint and continues at 1/10 of the learning rate");
    }

    public static JsonObject Json(DistilledModel model, double seconds) => new()
    {
        ["output"] = model.Folder,
        ["start"] = JsonSerializer.SerializeToNode(model.Start, JsonSerializerOptions.Web),
        ["end"] = JsonSerializer.SerializeToNode(model.End, JsonSerializerOptions.Web),
        ["bestStep"] = model.BestStep,
        ["curve"] = JsonSerializer.SerializeToNode(model.Curve, JsonSerializerOptions.Web),
        ["resumedFrom"] = model.ResumedFrom,
        ["rateLoweredAt"] = model.LoweredAt,
        ["bytes"] = model.Size.Bytes,
        ["bitsPerParameter"] = model.Size.BitsPerParameter,
        ["seconds"] = seconds,
    };

    public static void Print(IAnsiConsole screen, DistilledModel model, double seconds)
    {
        var grid = new Grid().AddColumn().AddColumn();
        void Row(string name, FormattableString value) =>
            grid.AddRow(Markup.Escape(name), Markup.Escape(value.ToString(CultureInfo.InvariantCulture)));
        Row("output", $"{model.Folder}");
        Row("held-out KL to the teacher", $"{model.Start.Kl:0.0000} before, {model.End.Kl:0.0000} after");
        Row("held-out cross-entropy", $"{model.Start.CrossEntropy:0.0000} before, {model.End.CrossEntropy:0.0000} after");
        Row("kept", $"step {model.BestStep} of {model.Curve[^1].Step}{(model.ResumedFrom > 0 ? $", {model.ResumedFrom} of an earlier run" : "")}");
        Row("size", $"{Units.Bytes(model.Size.Bytes)}, {model.Size.BitsPerParameter:0.000} bits/parameter of the whole model");
        Row("time", $"{seconds:0.0} s");
        screen.Write(grid);
    }
}
