using System.CommandLine;
using System.Text.Json;
using System.Text.Json.Nodes;
using Qbb.Cli.Registry;
using Qbb.Cli.Terminal;

namespace Qbb.Cli.Commands;

/// <summary><c>qbb watch</c>: what a registry does with a model, live, until it is done.</summary>
internal sealed class WatchCommand : AsyncCommand
{
    private readonly Argument<string> _model = new("MODEL") { Description = "The model's name, or a pipeline's id." };
    private readonly Option<string> _url = RegistryAddress.Option();

    public WatchCommand() : base(
        "watch", "Follows the pipelines of a model's newest upload until all have ended, and shows the results. Ctrl+C stops watching, not the pipelines.",
        "qbb watch tiny",
        "qbb watch 01a2190b-4bed-754b-a4a6-5b09073c2fe1",
        "qbb watch tiny --url http://registry:8080 --json")
    {
        Arguments.Add(_model);
        Options.Add(_url);
    }

    protected override string Kept => "the pipelines resume with the registry";

    protected override async Task RunAsync(ParseResult parsed, Output output, CancellationToken cancel)
    {
        using var registry = RegistryAddress.Connect(parsed, _url, output);
        var pipelines = await registry.PipelinesAsync(parsed.GetRequiredValue(_model), cancel);
        PipelineView[] ended;
        try
        {
            ended = await new WatchScreen(output, registry).RunAsync(pipelines, cancel);
        }
        catch (OperationCanceledException)
        {
            output.Note($"no longer watching; the pipelines keep running, see {registry.AddressOf()}pipelines");
            throw;
        }
        await output.ResultAsync(
            new JsonObject { ["pipelines"] = JsonSerializer.SerializeToNode(ended, Wire.Json) },
            screen => ResultTable.PrintAsync(screen, registry, ended, cancel));
        var failed = ended.Where(pipeline => pipeline.State != PipelineState.Succeeded).ToList();
        if (failed.Count > 0)
        {
            throw new PipelineFailedException(
                string.Join("; ", failed.Select(pipeline => $"{PipelineStage.Name(pipeline)}: {pipeline.Error ?? Wire.NameOf(pipeline.State)}")),
                $"qbb retry {failed[0].Id}{RegistryAddress.OptionFor(parsed.GetRequiredValue(_url))} resumes it");
        }
    }
}
