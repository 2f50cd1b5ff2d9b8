using MassTransit;
using Qbb.Contracts;
using Qbb.Workers.Units;

namespace Qbb.Workers.Tests;

public sealed class MadeUpConsumer(UnitRunner runner, MadeUpWork work) : IConsumer<SampleSequences>
{
    public Task Consume(ConsumeContext<SampleSequences> context) => runner.RunAsync(
        context, context.Message.PipelineId, context.Message.Unit, (SequencesSampled done) => done.Result, stop => work.RunAsync(context.Message, stop));
}
