namespace Qbb.Contracts;

/// <summary>Event: the data are filtered.</summary>
/// <param name="PipelineId">Who asked.</param>
/// <param name="Unit">Of the command.</param>
/// <param name="Result">Manifest of the filtered data's folder.</param>
/// <param name="Sequences">Sequences that were kept.</param>
public sealed record SequencesFiltered(Guid PipelineId, Digest Unit, Digest Result, int Sequences);
