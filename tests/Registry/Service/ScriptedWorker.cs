using System.Text;
using MassTransit;
using Qbb.Artifacts;
using Qbb.Contracts;

namespace Qbb.Registry.Tests.Service;

/// <summary>Answers every command as a worker would, with results that depend on the unit alone.</summary>
internal sealed class ScriptedWorker(WorkerScript script, IArtifactStore store)
    : IConsumer<SampleSequences>, IConsumer<AssembleData>, IConsumer<DecomposeLayers>, IConsumer<AssembleModel>, IConsumer<ScoreSequences>,
    IConsumer<FilterSequences>, IConsumer<DistillRound>, IConsumer<EvaluateWindows>
{
    private const int Steps = 30;
    private static readonly Digest s_layer = Digest.Of("a layer");

    public Task Consume(ConsumeContext<SampleSequences> context) => AnswerAsync(context, context.Message, context.Message.PipelineId, context.Message.Unit,
        result => new SequencesSampled(context.Message.PipelineId, context.Message.Unit, result, Units: 2));

    public Task Consume(ConsumeContext<AssembleData> context) => AnswerAsync(context, context.Message, context.Message.PipelineId, context.Message.Unit,
        result => new DataAssembled(context.Message.PipelineId, context.Message.Unit, result, 10, 100));

    public async Task Consume(ConsumeContext<DecomposeLayers> context)
    {
        await script.Decompose.WaitAsync(context.CancellationToken);
        await AnswerAsync(context, context.Message, context.Message.PipelineId, context.Message.Unit, result => new LayersDecomposed(
            context.Message.PipelineId, context.Message.Unit, result, script.Layers, Size: 1, Chained: context.Message.Data is not null, 0.01));
    }

    public Task Consume(ConsumeContext<AssembleModel> context) => AnswerAsync(context, context.Message, context.Message.PipelineId, context.Message.Unit,
        result => new ModelAssembled(context.Message.PipelineId, context.Message.Unit, result, 0.01, 3.25, 1000));

    public Task Consume(ConsumeContext<ScoreSequences> context) => AnswerAsync(context, context.Message, context.Message.PipelineId, context.Message.Unit,
        result => new SequencesScored(context.Message.PipelineId, context.Message.Unit, result, Units: 2, Size: 1));

    public Task Consume(ConsumeContext<FilterSequences> context) => AnswerAsync(context, context.Message, context.Message.PipelineId, context.Message.Unit,
        result => new SequencesFiltered(context.Message.PipelineId, context.Message.Unit, result, 5));

    public Task Consume(ConsumeContext<DistillRound> context)
    {
        var step = context.Message.Checkpoint is null ? Steps / 2 : Steps;
        return AnswerAsync(context, context.Message, context.Message.PipelineId, context.Message.Unit, result => new RoundDistilled(
            context.Message.PipelineId, context.Message.Unit, step == Steps && script.Undistilled is not null ? context.Message.Student : result, step, Steps,
            step == Steps, 0.2, 0.1, step == Steps ? script.Undistilled : null));
    }

    public Task Consume(ConsumeContext<EvaluateWindows> context)
    {
        return AnswerAsync(context, context.Message, context.Message.PipelineId, context.Message.Unit, result => new WindowsEvaluated(
            context.Message.PipelineId, context.Message.Unit, result, Units: 3, Size: 2, Context: 8, Windows: 2, Positions: 100,
            CrossEntropy: 200 + 10 * context.Message.Index, TeacherCrossEntropy: 200, Divergence: 5, Agreements: 80, 3.25, 1000));
    }

    private async Task AnswerAsync<T>(ConsumeContext context, object command, Guid pipeline, Digest unit, Func<Digest, T> answer)
        where T : class
    {
        script.Commands.Enqueue(command);
        if (script.Crash(command))
            throw new InvalidOperationException("the worker broke down");
        if (script.IsAway(command))
        {
            await context.Publish(new UnitFailed(pipeline, unit, "the store does not answer", FailureKind.Away));
            return;
        }
        if (script.IsBroken(command))
        {
            await context.Publish(new UnitFailed(pipeline, unit, "the disk is full", FailureKind.Machine));
            return;
        }
        if (script.Refuse(command) is { } reason)
        {
            await context.Publish(new UnitFailed(pipeline, unit, reason, FailureKind.Input));
            return;
        }
        var result = command is DecomposeLayers { Index: > 0 } && script.SameLayers ? s_layer : await StoreAsync(unit);
        for (var copy = 0; copy < script.Copies; copy++)
            await context.Publish(answer(result));
    }

    private async Task<Digest> StoreAsync(Digest unit)
    {
        var blob = await store.PutAsync(new MemoryStream(Encoding.UTF8.GetBytes($"result of {unit}")));
        var manifest = new ArtifactManifest([KeyValuePair.Create("result.txt", new ManifestEntry(blob.Digest, blob.Size))]);
        await manifest.PutAsync(store);
        return manifest.Digest;
    }
}
