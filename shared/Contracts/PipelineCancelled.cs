namespace Qbb.Contracts;

/// <summary>Event to every worker: what is still queued for the pipeline need not be done, and what is at hand may stop.</summary>
/// <param name="PipelineId">Which.</param>
/// <param name="Epoch">The run that has ended; commands of a later one, after a retry, are not meant.</param>
public sealed record PipelineCancelled(Guid PipelineId, int Epoch);
