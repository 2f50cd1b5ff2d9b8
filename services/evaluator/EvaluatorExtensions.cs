using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Qbb.Evaluator.Work;
using Qbb.Workers.Units;

namespace Qbb.Evaluator;

/// <summary>The worker that scores models.</summary>
public static class EvaluatorExtensions
{
    public static IHostApplicationBuilder AddEvaluator(this IHostApplicationBuilder builder)
    {
        builder.Services.AddSingleton<EvaluationWork>();
        return builder.AddWorker(WorkQueues.Evaluator, (bus, queue) => bus.AddUnit<EvaluateWindowsConsumer>(queue));
    }
}
