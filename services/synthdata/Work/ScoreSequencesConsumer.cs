using MassTransit;
using Qbb.Workers.Units;

namespace Qbb.Synthdata.Work;

/// <summary>Does <see cref="ScoreSequences"/>.</summary>
public sealed class ScoreSequencesConsumer(UnitRunner runner, FilterWork work) : IConsumer<ScoreSequences>
{
    public Task Consume(ConsumeContext<ScoreSequences> context) => runner.RunAsync(
        context, context.Message.PipelineId, context.Message.Unit, (SequencesScored done) => done.Result, stop => work.ScoreAsync(context.Message, stop));
}
