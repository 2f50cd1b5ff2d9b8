using MassTransit;
using Qbb.Quantizer.Work;
using Qbb.Workers.Units;

namespace Qbb.EndToEnd.Tests.Servers;

/// <summary>Does <see cref="DecomposeLayers"/>, one layer a unit.</summary>
internal sealed class SlowLayersConsumer(UnitRunner runner, DecompositionWork work, SlowLayers slow) : IConsumer<DecomposeLayers>
{
    public Task Consume(ConsumeContext<DecomposeLayers> context)
    {
        var command = context.Message;
        return runner.RunAsync(context, (LayersDecomposed done) => done.Result, stop => slow.RunAsync(
            async () => await work.DecomposeAsync(command with { Size = 1 }, stop) with { Unit = command.Unit }, stop));
    }
}
