using MassTransit;
using Qbb.Workers.Units;

namespace Qbb.Evaluator.Work;

/// <summary>Does <see cref="EvaluateWindows"/>.</summary>
public sealed class EvaluateWindowsConsumer(UnitRunner runner, EvaluationWork work) : IConsumer<EvaluateWindows>
{
    public Task Consume(ConsumeContext<EvaluateWindows> context) => runner.RunAsync(
        context, context.Message.PipelineId, context.Message.Unit, (WindowsEvaluated done) => done.Result, stop => work.RunAsync(context.Message, stop));
}
