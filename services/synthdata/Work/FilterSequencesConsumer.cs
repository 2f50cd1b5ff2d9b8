using MassTransit;
using Qbb.Workers.Units;

namespace Qbb.Synthdata.Work;

/// <summary>Does <see cref="FilterSequences"/>.</summary>
public sealed class FilterSequencesConsumer(UnitRunner runner, FilterWork work) : IConsumer<FilterSequences>
{
    public Task Consume(ConsumeContext<FilterSequences> context) => runner.RunAsync(
        context, context.Message.PipelineId, context.Message.Unit, (SequencesFiltered done) => done.Result, stop => work.FilterAsync(context.Message, stop));
}
