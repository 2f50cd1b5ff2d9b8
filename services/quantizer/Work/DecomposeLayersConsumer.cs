using MassTransit;
using Qbb.Workers.Units;

namespace Qbb.Quantizer.Work;

/// <summary>Does <see cref="DecomposeLayers"/>.</summary>
public sealed class DecomposeLayersConsumer(UnitRunner runner, DecompositionWork work) : IConsumer<DecomposeLayers>
{
    public Task Consume(ConsumeContext<DecomposeLayers> context) => runner.RunAsync(
        context, context.Message.PipelineId, context.Message.Unit, (LayersDecomposed done) => done.Result, stop => work.DecomposeAsync(context.Message, stop));
}
