namespace Qbb.Contracts;

/// <summary>Event: some sequences are scored.</summary>
/// <param name="PipelineId">Who asked.</param>
/// <param name="Unit">Of the command.</param>
/// <param name="Result">Manifest of the scores.</param>
/// <param name="Units">Units of the whole stage.</param>
public sealed record SequencesScored(Guid PipelineId, Digest Unit, Digest Result, int Units);
