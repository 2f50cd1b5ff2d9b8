using MassTransit;
using Qbb.Contracts;
using Qbb.Registry.Pipelines.Machine;

namespace Qbb.Registry.Pipelines.Running;

/// <summary>What workers say, as events of the pipeline.</summary>
internal static class WorkerEvents
{
    /// <summary>The pipeline that a message is about, and what happened to it.</summary>
    public static (Guid Pipeline, PipelineEvent Event) Of(object message) => message switch
    {
        SequencesSampled e => (e.PipelineId, Done(e.Unit, new UnitOutcome(e.Result.Value) { Units = e.Units })),
        DataAssembled e => (e.PipelineId, Done(e.Unit, new UnitOutcome(e.Result.Value))),
        LayersDecomposed e => (e.PipelineId, Done(e.Unit, new UnitOutcome(e.Result.Value)
        {
            Units = e.Units,
            Size = e.Size,
            Chained = e.Chained,
            Report = new UnitReport { RelativeError = e.RelativeError },
        })),
        ModelAssembled e => (e.PipelineId, Done(e.Unit, new UnitOutcome(e.Result.Value)
        {
            Report = new UnitReport { RelativeError = e.RelativeError, BitsPerWeight = e.EffectiveBitsPerWeight, Bytes = e.Bytes },
        })),
        SequencesScored e => (e.PipelineId, Done(e.Unit, new UnitOutcome(e.Result.Value) { Units = e.Units, Size = e.Size })),
        SequencesFiltered e => (e.PipelineId, Done(e.Unit, new UnitOutcome(e.Result.Value))),
        RoundDistilled e => (e.PipelineId, Done(e.Unit, new UnitOutcome(e.Result.Value)
        {
            Units = e.Steps,
            Step = e.Step,
            Finished = e.Finished,
            Report = new UnitReport { StartKl = e.StartKl, Kl = e.Kl },
        })),
        WindowsEvaluated e => (e.PipelineId, Done(e.Unit, new UnitOutcome(e.Result.Value)
        {
            Units = e.Units,
            Size = e.Size,
            Report = new UnitReport
            {
                BitsPerWeight = e.EffectiveBitsPerWeight,
                Bytes = e.Bytes,
                Sums = new ScoreSums(e.Windows, e.Positions, e.CrossEntropy, e.TeacherCrossEntropy, e.Divergence, e.Agreements),
            },
        })),
        UnitFailed e => (e.PipelineId, new PipelineEvent.UnitFailed(e.Unit.Value, e.Reason, e.Permanent)),
        Fault<SampleSequences> e => Faulty(e, e.Message.PipelineId, e.Message.Unit),
        Fault<AssembleData> e => Faulty(e, e.Message.PipelineId, e.Message.Unit),
        Fault<DecomposeLayers> e => Faulty(e, e.Message.PipelineId, e.Message.Unit),
        Fault<AssembleModel> e => Faulty(e, e.Message.PipelineId, e.Message.Unit),
        Fault<ScoreSequences> e => Faulty(e, e.Message.PipelineId, e.Message.Unit),
        Fault<FilterSequences> e => Faulty(e, e.Message.PipelineId, e.Message.Unit),
        Fault<DistillRound> e => Faulty(e, e.Message.PipelineId, e.Message.Unit),
        Fault<EvaluateWindows> e => Faulty(e, e.Message.PipelineId, e.Message.Unit),
        _ => throw new ArgumentException($"the message {message.GetType()} is none of a worker's", nameof(message)),
    };

    private static PipelineEvent.UnitDone Done(Digest unit, UnitOutcome outcome) => new(unit.Value, outcome);

    // The bus gave the command up: the worker did not even get to say so.
    private static (Guid, PipelineEvent) Faulty(Fault fault, Guid pipeline, Digest unit) =>
        (pipeline, new PipelineEvent.UnitFailed(unit.Value, fault.Exceptions.FirstOrDefault()?.Message ?? "the worker gave no reason", Permanent: false));
}
