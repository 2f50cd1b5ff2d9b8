using System.Globalization;
using System.Text.Json.Nodes;
using Spectre.Console;

namespace Qbb.Bench.Figures;

/// <summary>One measured number.</summary>
internal sealed record Figure(string What, double Value, string Unit);

/// <summary>Measured numbers for people and for machines.</summary>
internal static class FigureTable
{
    /// <param name="screen">Where to.</param>
    /// <param name="figures">The numbers.</param>
    /// <param name="title">What a number is: "median".</param>
    public static void Print(IAnsiConsole screen, IReadOnlyList<Figure> figures, string title)
    {
        var table = new Table().Border(TableBorder.Simple)
            .AddColumn("what").AddColumn(new TableColumn(title).RightAligned()).AddColumn("unit");
        foreach (var f in figures)
        {
            var value = f.Value.ToString(f.Value < 10 ? "0.000" : "0.0", CultureInfo.InvariantCulture);
            table.AddRow(Markup.Escape(f.What), value, Markup.Escape(f.Unit));
        }
        screen.Write(table);
    }

    public static JsonArray Json(IReadOnlyList<Figure> figures) =>
        new([.. figures.Select(f => new JsonObject { ["what"] = f.What, ["value"] = f.Value, ["unit"] = f.Unit })]);
}
