using System.CommandLine;
using System.Text.Json.Nodes;
using Qbb.Cli.Registry;
using Qbb.Cli.Terminal;
using Qbb.Models;

namespace Qbb.Cli.Commands;

/// <summary><c>qbb watch</c>: what a registry does with a model, live, until it is done.</summary>
internal sealed class WatchCommand : QbbCommand
{
    private readonly Argument<string> _model = new("MODEL") { Description = "The model's name, or a pipeline's id." };
    private readonly Option<string> _url = RegistryAddress.Option();

    public WatchCommand() : base(
        "watch", "Follows the pipelines of a model's newest upload until all have ended, and shows what they came to. Ctrl+C stops watching, not the work.",
        "qbb watch tiny",
        "qbb watch 01a2190b-4bed-754b-a4a6-5b09073c2fe1",
        "qbb watch tiny --url http://registry:8080 --json")
    {
        Arguments.Add(_model);
        Options.Add(_url);
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        using var client = new RegistryClient(RegistryAddress.Parse(parsed.GetRequiredValue(_url)));
        var pipelines = PipelinesOfAsync(client, parsed.GetRequiredValue(_model), cancel).GetAwaiter().GetResult();
        JsonObject[] ended;
        try
        {
            ended = new WatchScreen(output, client).RunAsync(pipelines, cancel).GetAwaiter().GetResult();
        }
        catch (OperationCanceledException)
        {
            output.Note($"no longer watching; the work goes on, see {client.Address}pipelines");
            throw;
        }
        output.Result(
            new JsonObject { ["pipelines"] = new JsonArray([.. ended]) },
            screen => ResultTable.PrintAsync(screen, client, ended, cancel).GetAwaiter().GetResult());
        var failed = ended.Where(pipeline => pipeline["state"]?.ToString() != "succeeded").ToList();
        if (failed.Count > 0)
        {
            throw new PipelineFailedException(string.Join("; ", failed.Select(pipeline => $"{PipelineStage.Name(pipeline)}: {pipeline["error"] ?? pipeline["state"]}"))
                + $" (another try goes on from there: {client.Address}pipelines/{failed[0]["id"]})");
        }
    }

    /// <summary>The newest pipeline of each recipe, of the newest version that has any: what came before is history.</summary>
    private static async Task<IReadOnlyList<JsonObject>> PipelinesOfAsync(RegistryClient client, string model, CancellationToken cancel)
    {
        if (Guid.TryParse(model, out var id))
            return [await client.GetAsync($"api/pipelines/{id}", cancel)];
        await client.ModelAsync(model, cancel);
        var page = await client.GetAsync($"api/pipelines?model={Uri.EscapeDataString(model)}&limit=500", cancel);
        var pipelines = page["items"]!.AsArray().Select(pipeline => pipeline!.AsObject()).ToList();
        if (pipelines.Count == 0)
            throw new InvalidInputException($"nothing was asked for with {model}: no policy applies to it; push it with --recipe FILE, or see {client.Address}policies");
        var newest = pipelines.Max(pipeline => pipeline["version"]!.GetValue<int>());
        return [.. pipelines.Where(pipeline => pipeline["version"]!.GetValue<int>() == newest).DistinctBy(pipeline => pipeline["recipe"]!.ToString()).Reverse()];
    }
}
