using MassTransit;
using Qbb.Workers.Units;

namespace Qbb.Quantizer.Work;

/// <summary>Does <see cref="DistillRound"/>.</summary>
public sealed class DistillRoundConsumer(UnitRunner runner, DistillationWork work) : IConsumer<DistillRound>
{
    public Task Consume(ConsumeContext<DistillRound> context) => runner.RunAsync(
        context, context.Message.PipelineId, context.Message.Unit, (RoundDistilled done) => done.Result, stop => work.RunAsync(context.Message, stop));
}
