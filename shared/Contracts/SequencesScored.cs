namespace Qbb.Contracts;

/// <summary>Event: some sequences are scored.</summary>
/// <param name="PipelineId">Who asked.</param>
/// <param name="Unit">Of the command.</param>
/// <param name="Result">Manifest of the scores.</param>
/// <param name="Units">Units of the whole stage.</param>
/// <param name="Size">What every unit but the last holds: to be named in the commands of the others.</param>
public sealed record SequencesScored(Guid PipelineId, Digest Unit, Digest Result, int Units, int Size);
