using MassTransit;
using Qbb.Workers.Units;

namespace Qbb.Workers.Tests;

/// <summary>Does <see cref="FilterSequences"/> by a script.</summary>
internal sealed class ScriptedConsumer(UnitRunner runner, UnitScript script) : IConsumer<FilterSequences>
{
    public Task Consume(ConsumeContext<FilterSequences> context) => runner.RunAsync(
        context, (SequencesFiltered done) => done.Result, stop => script.RunAsync(context.Message, stop));
}
