using MassTransit;
using Qbb.Workers.Units;

namespace Qbb.Synthdata.Work;

/// <summary>Does <see cref="AssembleData"/>.</summary>
public sealed class AssembleDataConsumer(UnitRunner runner, SamplingWork work) : IConsumer<AssembleData>
{
    public Task Consume(ConsumeContext<AssembleData> context) => runner.RunAsync(
        context, context.Message.PipelineId, context.Message.Unit, (DataAssembled done) => done.Result, stop => work.AssembleAsync(context.Message, stop));
}
