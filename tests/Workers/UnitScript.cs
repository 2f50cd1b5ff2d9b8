using Qbb.Workers.Units;

namespace Qbb.Workers.Tests;

/// <summary>What a unit does, and what a check of the machine finds.</summary>
internal sealed class UnitScript : IMachineCheck
{
    private int _begun;
    private int _checks;

    /// <summary>Gives the result's manifest; told the tries so far, this one included.</summary>
    public required Func<FilterSequences, int, CancellationToken, Task<Digest>> Work { get; set; }

    /// <summary>What is wrong with the machine; null for nothing.</summary>
    public Func<MachineFault?> Check { get; set; } = () => null;

    /// <summary>Times that the machine was checked.</summary>
    public int Checks => _checks;

    /// <summary>Times that it was begun.</summary>
    public int Begun => _begun;

    public async Task<SequencesFiltered> RunAsync(FilterSequences command, CancellationToken stop) =>
        new(command.PipelineId, command.Unit, await Work(command, Interlocked.Increment(ref _begun), stop), 1);

    public Task<MachineFault?> FindFaultAsync(CancellationToken cancellation)
    {
        Interlocked.Increment(ref _checks);
        return Task.FromResult(Check());
    }
}
