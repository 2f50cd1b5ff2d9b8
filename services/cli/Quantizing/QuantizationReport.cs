using System.Globalization;
using System.Text.Json.Nodes;
using Qbb.Cli.Terminal;
using Qbb.Quantizer.Driver;
using Spectre.Console;

namespace Qbb.Cli.Quantizing;

/// <summary>How a quantization is told.</summary>
internal static class QuantizationReport
{
    public static JsonObject Json(QuantizedModel model)
    {
        var json = new JsonObject
        {
            ["output"] = model.Folder,
            ["layers"] = model.Layers.Count,
            ["resumedLayers"] = model.ResumedLayers,
            ["relativeError"] = model.RelativeError,
            ["relativeOutputError"] = model.RelativeOutputError,
            ["calibrationTokens"] = model.Calibration?.Tokens,
            ["bitsPerWeight"] = model.EffectiveBitsPerWeight,
            ["bitsPerParameter"] = model.Size.BitsPerParameter,
            ["bytes"] = model.Size.Bytes,
            ["sourceBitsPerParameter"] = model.Source.BitsPerParameter,
            ["sourceBytes"] = model.Source.Bytes,
            ["seconds"] = model.Seconds,
            ["layerSeconds"] = new JsonObject(model.Layers.Select(layer => KeyValuePair.Create(layer.Layer, (JsonNode?)layer.Seconds))),
        };
        foreach (var (name, errors) in Nested(model))
            json[name] = new JsonArray([.. errors.Select(error => (JsonNode)error)]);
        return json;
    }

    public static void Print(IAnsiConsole screen, QuantizedModel model)
    {
        var grid = new Grid().AddColumn().AddColumn();
        void Row(string name, FormattableString value) =>
            grid.AddRow(Markup.Escape(name), Markup.Escape(value.ToString(CultureInfo.InvariantCulture)));
        Row("output", $"{model.Folder}");
        Row("layers", $"{model.Layers.Count}{(model.ResumedLayers > 0 ? $", {model.ResumedLayers} of an earlier run" : "")}");
        Row("weight error", $"{model.RelativeError:0.00000} of the weights' squared norm, mean over layers");
        if (model.RelativeOutputError is { } error)
            Row("output error", $"{error:0.00000} of the layers' outputs' squared norm, mean over layers; {model.Calibration!.Tokens:n0} tokens");
        Row("linear layers", $"{model.EffectiveBitsPerWeight:0.000} bits/weight");
        Row("whole model", $"{Units.Bytes(model.Size.Bytes)}, {model.Size.BitsPerParameter:0.000} bits/parameter (source: {Units.Bytes(model.Source.Bytes)}, {model.Source.BitsPerParameter:0.000})");
        Row("time", $"{model.Seconds:0.0} s");
        screen.Write(grid);
        if (Nested(model).Any())
            PrintNested(screen, model);
    }

    /// <summary>One row for every n: the model within the model.</summary>
    private static void PrintNested(IAnsiConsole screen, QuantizedModel model)
    {
        var table = new Table().Border(TableBorder.Simple).AddColumn(new TableColumn("n").RightAligned());
        var columns = Nested(model).ToList();
        foreach (var (name, _) in columns)
            table.AddColumn(new TableColumn(Title(name)).RightAligned());
        for (var place = 0; place < columns[0].Errors.Count; place++)
        {
            table.AddRow([
                $"{place + 1}", .. columns.Select(column => column.Errors[place].ToString("0.00000", CultureInfo.InvariantCulture)),
            ]);
        }
        screen.Write(table);
    }

    private static string Title(string name) => name switch
    {
        "errorPerBase" => "weight error",
        "ownErrorPerBase" => "a model of its own",
        _ => "output error",
    };

    private static IEnumerable<(string Name, IReadOnlyList<double> Errors)> Nested(QuantizedModel model)
    {
        if (model.ErrorPerBase is { } errors)
            yield return ("errorPerBase", errors);
        if (model.OwnErrorPerBase is { } own)
            yield return ("ownErrorPerBase", own);
        if (model.OutputErrorPerBase is { } output)
            yield return ("outputErrorPerBase", output);
    }
}
