using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Qbb.Quantizer.Work;
using Qbb.Workers.Units;

namespace Qbb.Quantizer;

/// <summary>The worker that decomposes layers and distils scales.</summary>
public static class QuantizerExtensions
{
    public static IHostApplicationBuilder AddQuantizer(this IHostApplicationBuilder builder)
    {
        builder.Services.AddSingleton<DecompositionWork>();
        builder.Services.AddSingleton<WarmTraining>();
        builder.Services.AddSingleton<DistillationWork>();
        return builder.AddWorker(WorkQueues.Quantizer, (bus, queue) =>
        {
            bus.AddUnit<DecomposeLayersConsumer>(queue);
            bus.AddUnit<AssembleModelConsumer>(queue);
            bus.AddUnit<DistillRoundConsumer>(queue);
        });
    }
}
