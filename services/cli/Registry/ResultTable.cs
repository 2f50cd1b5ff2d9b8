using System.Globalization;
using System.Text.Json.Nodes;
using Qbb.Cli.Terminal;
using Qbb.Models;
using Spectre.Console;

namespace Qbb.Cli.Registry;

/// <summary>What pipelines came to.</summary>
internal static class ResultTable
{
    public static async Task PrintAsync(IAnsiConsole screen, RegistryClient client, IReadOnlyList<JsonObject> pipelines, CancellationToken cancel)
    {
        // Narrow enough for 80 characters.
        var table = new Table().Border(TableBorder.None);
        foreach (var title in new[] { "recipe", "version" })
            table.AddColumn(new TableColumn(title).NoWrap().Padding(0, 0, 2, 0));
        foreach (var title in new[] { "bits/\nweight", "size", "perplexity", "KL", "before → after\ndistillation" })
            table.AddColumn(new TableColumn(title).RightAligned().NoWrap().Padding(0, 0, 2, 0));
        foreach (var pipeline in pipelines)
        {
            var (metrics, result) = (pipeline["metrics"], pipeline["result"] as JsonObject);
            table.AddRow(
                Markup.Escape(PipelineStage.Name(pipeline)), result is null ? Text(pipeline["state"]) : Text(result["version"]),
                Number(metrics?["bitsPerWeight"], "0.000"), metrics?["bytes"] is { } bytes ? Units.Bytes((long)bytes.GetValue<double>()) : "",
                Number(metrics?["perplexity"], "0.00"), Number(metrics?["kl"], "0.0000"), result is null ? "" : await HeldOutAsync(client, result, cancel));
        }
        screen.WriteLine();
        screen.Write(table);
        screen.WriteLine();
        if (pipelines.Select(pipeline => pipeline["metrics"]?["teacherPerplexity"]).OfType<JsonNode>().FirstOrDefault() is { } teacher)
        {
            Console.Out.WriteLine($"perplexity and KL (nats per token) on the evaluation text, where the model itself has perplexity {Number(teacher, "0.00")};");
            Console.Out.WriteLine("before → after: perplexity on sequences that the distillation did not see");
        }
    }

    /// <summary>Perplexity on the sequences that were held out of the training, as the version's metrics.json tells; empty where nothing was distilled.</summary>
    private static async Task<string> HeldOutAsync(RegistryClient client, JsonObject version, CancellationToken cancel)
    {
        try
        {
            var metrics = await client.GetAsync($"api/models/{version["model"]}/versions/{version["version"]}/files/metrics.json", cancel);
            return metrics["distillation"] is JsonObject { } distillation && Perplexity(distillation["start"]) is { Length: > 0 } start
                ? $"{start} → {Perplexity(distillation["end"])}"
                : "";
        }
        catch (InvalidInputException)
        {
            return "";
        }
    }

    private static string Perplexity(JsonNode? score) =>
        score?["crossEntropy"] is { } entropy ? Math.Exp(entropy.GetValue<double>()).ToString("0.00", CultureInfo.InvariantCulture) : "";

    private static string Text(JsonNode? node) => Markup.Escape(node?.ToString() ?? "");

    private static string Number(JsonNode? node, string format) => node?.GetValue<double>().ToString(format, CultureInfo.InvariantCulture) ?? "";
}
