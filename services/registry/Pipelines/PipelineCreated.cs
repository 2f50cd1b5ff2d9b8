namespace Qbb.Registry.Pipelines;

public sealed record PipelineCreated(Guid Id);
