namespace Qbb.Workers.Tests;

/// <summary>What a unit does.</summary>
internal sealed class UnitScript
{
    private int _begun;

    /// <summary>Gives the result's manifest; told the tries so far, this one included.</summary>
    public required Func<FilterSequences, int, CancellationToken, Task<Digest>> Work { get; set; }

    /// <summary>Times that it was begun.</summary>
    public int Begun => _begun;

    public async Task<SequencesFiltered> RunAsync(FilterSequences command, CancellationToken stop) =>
        new(command.PipelineId, command.Unit, await Work(command, Interlocked.Increment(ref _begun), stop), 1);
}
