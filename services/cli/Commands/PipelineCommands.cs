using System.CommandLine;
using System.Text.Json.Nodes;
using Qbb.Cli.Registry;
using Qbb.Cli.Terminal;

namespace Qbb.Cli.Commands;

/// <summary>Does something to pipelines: one by its id, or those of a model's newest version that are in a fitting state.</summary>
internal abstract class PipelineCommand : RegistryCommand
{
    private readonly Argument<string> _what = new("MODEL") { Description = "The model's name, or a pipeline's id." };

    protected PipelineCommand(string name, string description, params string[] examples) : base(name, description, examples) => Arguments.Add(_what);

    /// <summary>Whether it can be done to the pipelines of a model; a pipeline that is named by id is left to the registry.</summary>
    protected abstract bool Fits(PipelineState state);

    protected abstract string FittingStates { get; }

    protected abstract Task<PipelineView> ApplyAsync(IRegistryApi registry, Guid id, CancellationToken cancel);

    protected override async Task RunAsync(IRegistryApi registry, ParseResult parsed, Output output, CancellationToken cancel)
    {
        var text = parsed.GetRequiredValue(_what);
        var found = await registry.PipelinesAsync(text, cancel);
        var chosen = Guid.TryParse(text, out _) ? found : [.. found.Where(pipeline => Fits(pipeline.State))];
        if (chosen.Count == 0)
        {
            var states = found.Select(pipeline => $"{PipelineStage.Name(pipeline)} {Wire.NameOf(pipeline.State)}");
            throw new InvalidInputException($"{text} has no {FittingStates} pipeline ({string.Join(", ", states)})", "give the id of another one, see qbb show MODEL");
        }
        var now = new List<PipelineView>();
        foreach (var pipeline in chosen)
            now.Add(await ApplyAsync(registry, pipeline.Id, cancel));
        output.Result(new JsonObject { ["pipelines"] = Json(now) }, _ => RegistryTables.Print(now));
    }
}

/// <summary><c>qbb cancel</c>.</summary>
internal sealed class CancelCommand() : PipelineCommand("cancel", "Cancels pipelines: no further unit is started.", "qbb cancel tiny", "qbb cancel 01a2190b-4bed-754b-a4a6-5b09073c2fe1")
{
    protected override string FittingStates => "queued or running";

    protected override bool Fits(PipelineState state) => !state.HasEnded();

    protected override Task<PipelineView> ApplyAsync(IRegistryApi registry, Guid id, CancellationToken cancel) => registry.CancelPipelineAsync(id, cancel);
}

/// <summary><c>qbb retry</c>.</summary>
internal sealed class RetryCommand() : PipelineCommand("retry", "Resumes failed or cancelled pipelines where they stopped.", "qbb retry tiny", "qbb retry 01a2190b-4bed-754b-a4a6-5b09073c2fe1")
{
    protected override string FittingStates => "failed or cancelled";

    protected override bool Fits(PipelineState state) => state is PipelineState.Failed or PipelineState.Cancelled;

    protected override Task<PipelineView> ApplyAsync(IRegistryApi registry, Guid id, CancellationToken cancel) => registry.RetryPipelineAsync(id, cancel);
}
