using System.Globalization;
using System.Text;
using MassTransit;
using Qbb.Artifacts;
using Qbb.Contracts;

namespace Qbb.Registry.Tests.Service;

/// <summary>Answers every command as a worker would, with results that depend on the unit alone.</summary>
internal class ScriptedWorker(WorkerScript script, IArtifactStore store)
    : IConsumer<SampleSequences>, IConsumer<AssembleData>, IConsumer<DecomposeLayers>, IConsumer<AssembleModel>, IConsumer<ScoreSequences>,
    IConsumer<FilterSequences>, IConsumer<DistillRound>, IConsumer<EvaluateWindows>
{
    private const int Steps = 30;
    private static readonly Digest s_layer = Digest.Of("a layer");

    protected WorkerScript Script => script;

    public Task Consume(ConsumeContext<SampleSequences> context) => AnswerAsync(context,
        result => new SequencesSampled(context.Message.PipelineId, context.Message.Unit, result, Units: 2));

    public Task Consume(ConsumeContext<AssembleData> context) => AnswerAsync(context,
        result => new DataAssembled(context.Message.PipelineId, context.Message.Unit, result, 10, 100));

    public async Task Consume(ConsumeContext<DecomposeLayers> context)
    {
        await script.Decompose.WaitAsync(context.CancellationToken);
        await AnswerAsync(context, result => new LayersDecomposed(
            context.Message.PipelineId, context.Message.Unit, result, script.Layers, Size: 1, Chained: context.Message.Data is not null, 0.01));
    }

    public Task Consume(ConsumeContext<AssembleModel> context) => AnswerAsync(context,
        result => new ModelAssembled(context.Message.PipelineId, context.Message.Unit, result, 0.01, 3.25, 1000));

    public Task Consume(ConsumeContext<ScoreSequences> context) => AnswerAsync(context,
        result => new SequencesScored(context.Message.PipelineId, context.Message.Unit, result, Units: 2, Size: 1));

    public Task Consume(ConsumeContext<FilterSequences> context) => AnswerAsync(context,
        result => new SequencesFiltered(context.Message.PipelineId, context.Message.Unit, result, 5));

    public Task Consume(ConsumeContext<DistillRound> context)
    {
        var step = context.Message.Checkpoint is null ? Steps / 2 : Steps;
        return AnswerAsync(context, result => new RoundDistilled(
            context.Message.PipelineId, context.Message.Unit, step == Steps && script.Undistilled is not null ? context.Message.Student : result, step, Steps,
            step == Steps, 0.2, 0.1, step == Steps ? script.Undistilled : null));
    }

    public Task Consume(ConsumeContext<EvaluateWindows> context)
    {
        return AnswerAsync(context, result => new WindowsEvaluated(
            context.Message.PipelineId, context.Message.Unit, result, Units: 3, Size: 2, Context: 8, Windows: 2, Positions: 100,
            CrossEntropy: 200 + 10 * context.Message.Index, TeacherCrossEntropy: 200, Divergence: 5, Agreements: 80, 3.25, 1000));
    }

    /// <summary>Does a unit.</summary>
    protected virtual async Task AnswerAsync<TCommand, TEvent>(ConsumeContext<TCommand> context, Func<Digest, TEvent> answer)
        where TCommand : class, IUnitCommand
        where TEvent : class
    {
        var command = context.Message;
        script.Commands.Enqueue(command);
        await script.Hold(command).WaitAsync(context.CancellationToken);
        if (script.Crash(command))
            throw new InvalidOperationException("the worker broke down");
        var failed = script.IsAway(command) ? Failed("the store does not answer", FailureKind.Away)
            : script.IsBroken(command) ? Failed("the disk is full", FailureKind.Machine)
            : script.Refuse(command) is { } reason ? Failed(reason, FailureKind.Input)
            : null;
        if (failed is not null)
        {
            await context.Publish(failed);
            return;
        }
        var result = command is DecomposeLayers { Index: > 0 } && script.SameLayers ? s_layer : await StoreAsync(command.Unit);
        for (var copy = 0; copy < script.Copies; copy++)
            await context.Publish(answer(result), sent => sent.Headers.Set(UnitKey.SecondsHeader, script.Seconds(command)?.ToString(CultureInfo.InvariantCulture)));

        UnitFailed Failed(string reason, FailureKind kind) => new(command.PipelineId, command.Unit, reason, kind);
    }

    protected async Task<Digest> StoreAsync(Digest unit)
    {
        var blob = await store.PutAsync(new MemoryStream(Encoding.UTF8.GetBytes($"result of {unit}")));
        var manifest = new ArtifactManifest([KeyValuePair.Create("result.txt", new ManifestEntry(blob.Digest, blob.Size))]);
        await manifest.PutAsync(store);
        return manifest.Digest;
    }
}

/// <summary>Of one bus a type of consumer has one queue.</summary>
internal sealed class ScriptedQuantizer(WorkerScript script, IArtifactStore store) : ScriptedWorker(script, store);

/// <inheritdoc cref="ScriptedQuantizer"/>
internal sealed class ScriptedEvaluator(WorkerScript script, IArtifactStore store) : ScriptedWorker(script, store);
