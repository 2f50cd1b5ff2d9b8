using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using Qbb.Models;
using Qbb.Standalone.Registry;
using Qbb.Standalone.Terminal;
using Spectre.Console;

namespace Qbb.Standalone.Commands;

/// <summary><c>qbb watch</c>: what a registry does with a model, live, until it is done.</summary>
internal sealed class WatchCommand : QbbCommand
{
    private readonly Argument<string> _model = new("MODEL") { Description = "The model's name, or a pipeline's id." };
    private readonly Option<string> _url = RegistryAddress.Option();

    public WatchCommand() : base("watch", "Follows the pipelines of a model until all have ended, and shows what they came to.",
        "qbb watch tiny",
        "qbb watch tiny --json")
    {
        Arguments.Add(_model);
        Options.Add(_url);
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        using var client = new RegistryClient(RegistryAddress.Parse(parsed.GetRequiredValue(_url)));
        var model = parsed.GetRequiredValue(_model);
        var ended = new List<JsonObject>();
        foreach (var id in PipelinesOf(client, model, cancel))
        {
            ended.Add(ProgressBars.Run(output, "quantizing", report => Watching.RunAsync(client, id, report, cancel).GetAwaiter().GetResult()));
        }
        output.Result(new JsonObject { ["pipelines"] = new JsonArray([.. ended]) }, screen => Print(screen, ended));
        var failed = ended.Where(pipeline => pipeline["state"]?.ToString() != "succeeded").ToList();
        if (failed.Count > 0)
            throw new PipelineFailedException(string.Join("; ", failed.Select(pipeline => $"{pipeline["recipeName"]}: {pipeline["error"] ?? pipeline["state"]}")));
    }

    private static List<string> PipelinesOf(RegistryClient client, string model, CancellationToken cancel)
    {
        if (Guid.TryParse(model, out var id))
            return [id.ToString()];
        var page = client.GetAsync($"api/pipelines?model={Uri.EscapeDataString(model)}", cancel).GetAwaiter().GetResult();
        var pipelines = page["items"]!.AsArray().Select(pipeline => pipeline!["id"]!.ToString()).ToList();
        return pipelines.Count > 0 ? pipelines : throw new InvalidInputException($"the registry has no pipelines of a model {model}; push it with qbb push");
    }

    private static void Print(IAnsiConsole screen, List<JsonObject> pipelines)
    {
        var table = new Table().Border(TableBorder.Simple).AddColumns("recipe", "state", "version");
        foreach (var title in new[] { "bits/weight", "perplexity", "teacher's", "KL", "size" })
            table.AddColumn(new TableColumn(title).RightAligned());
        foreach (var pipeline in pipelines)
        {
            var (metrics, result) = (pipeline["metrics"], pipeline["result"]);
            table.AddRow(
                Text(pipeline["recipeName"]), Text(pipeline["state"]), result is null ? "" : Markup.Escape($"{result["model"]}@{result["version"]}"),
                Number(metrics?["bitsPerWeight"], "0.000"), Number(metrics?["perplexity"], "0.000"), Number(metrics?["teacherPerplexity"], "0.000"),
                Number(metrics?["kl"], "0.0000"), metrics?["bytes"] is { } bytes ? Units.Bytes((long)bytes.GetValue<double>()) : "");
        }
        screen.Write(table);
    }

    private static string Text(JsonNode? node) => Markup.Escape(node?.ToString() ?? "");

    private static string Number(JsonNode? node, string format) => node?.GetValue<double>().ToString(format, CultureInfo.InvariantCulture) ?? "";
}
