namespace Qbb.Contracts;

/// <summary>Event: the sampled data are complete.</summary>
/// <param name="PipelineId">Who asked.</param>
/// <param name="Unit">Of the command.</param>
/// <param name="Result">Manifest of the data's folder.</param>
/// <param name="Sequences">Sequences, those left out not counted.</param>
/// <param name="Tokens">Their tokens.</param>
public sealed record DataAssembled(Guid PipelineId, Digest Unit, Digest Result, int Sequences, long Tokens);
