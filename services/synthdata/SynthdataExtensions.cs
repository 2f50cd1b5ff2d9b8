using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Qbb.Synthdata.Work;
using Qbb.Workers.Units;

namespace Qbb.Synthdata;

/// <summary>The worker that samples, scores and filters sequences.</summary>
public static class SynthdataExtensions
{
    public static IHostApplicationBuilder AddSynthdata(this IHostApplicationBuilder builder)
    {
        builder.Services.AddSingleton<SamplingWork>();
        builder.Services.AddSingleton<FilterWork>();
        return builder.AddWorker(WorkQueues.Synthdata, (bus, queue) =>
        {
            bus.AddUnit<SampleSequencesConsumer>(queue);
            bus.AddUnit<AssembleDataConsumer>(queue);
            bus.AddUnit<ScoreSequencesConsumer>(queue);
            bus.AddUnit<FilterSequencesConsumer>(queue);
        });
    }
}
