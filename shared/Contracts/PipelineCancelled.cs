namespace Qbb.Contracts;

/// <summary>Event to every worker: what is still queued for the pipeline need not be done, and what is at hand may stop.</summary>
/// <param name="PipelineId">Which.</param>
public sealed record PipelineCancelled(Guid PipelineId);
