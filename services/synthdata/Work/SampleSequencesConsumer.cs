using MassTransit;
using Qbb.Workers.Units;

namespace Qbb.Synthdata.Work;

/// <summary>Does <see cref="SampleSequences"/>.</summary>
public sealed class SampleSequencesConsumer(UnitRunner runner, SamplingWork work) : IConsumer<SampleSequences>
{
    public Task Consume(ConsumeContext<SampleSequences> context) => runner.RunAsync(
        context, context.Message.PipelineId, context.Message.Unit, (SequencesSampled done) => done.Result, stop => work.SampleAsync(context.Message, stop));
}
