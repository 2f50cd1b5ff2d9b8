using MassTransit;

namespace Qbb.Workers.Tests;

/// <summary>Listens as the registry does.</summary>
internal sealed class ToldConsumer(Told told) : IConsumer<SequencesFiltered>, IConsumer<UnitFailed>, IConsumer<Fault<FilterSequences>>
{
    public Task Consume(ConsumeContext<SequencesFiltered> context) => Note(context.Message);

    public Task Consume(ConsumeContext<UnitFailed> context) => Note(context.Message);

    public Task Consume(ConsumeContext<Fault<FilterSequences>> context) => Note(context.Message);

    private Task Note(object message)
    {
        told.All.Enqueue(message);
        return Task.CompletedTask;
    }
}
