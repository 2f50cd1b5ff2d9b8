namespace Qbb.Contracts;

/// <summary>Event: a batch of sequences is sampled.</summary>
/// <param name="PipelineId">Who asked.</param>
/// <param name="Unit">Of the command.</param>
/// <param name="Result">Manifest of the shards.</param>
/// <param name="Units">Batches of the whole stage.</param>
/// <param name="Size">Sequences that are sampled together: to be named in the commands of the other batches.</param>
public sealed record SequencesSampled(Guid PipelineId, Digest Unit, Digest Result, int Units, int? Size = null);
