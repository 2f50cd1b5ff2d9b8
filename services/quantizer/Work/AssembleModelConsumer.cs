using MassTransit;
using Qbb.Workers.Units;

namespace Qbb.Quantizer.Work;

/// <summary>Does <see cref="AssembleModel"/>.</summary>
public sealed class AssembleModelConsumer(UnitRunner runner, DecompositionWork work) : IConsumer<AssembleModel>
{
    public Task Consume(ConsumeContext<AssembleModel> context) => runner.RunAsync(
        context, context.Message.PipelineId, context.Message.Unit, (ModelAssembled done) => done.Result, stop => work.AssembleAsync(context.Message, stop));
}
