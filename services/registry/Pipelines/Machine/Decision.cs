namespace Qbb.Registry.Pipelines.Machine;

/// <summary>What an event leads to.</summary>
/// <param name="Pipeline">The next state; the same object where nothing changes.</param>
/// <param name="Units">Units that are new or have changed.</param>
/// <param name="Orders">Commands to send.</param>
/// <param name="Publish">The artifact is to become a version.</param>
internal sealed record Decision(Pipeline Pipeline, IReadOnlyList<PipelineUnit> Units, IReadOnlyList<UnitOrder> Orders, bool Publish = false)
{
    public static Decision None(Pipeline pipeline) => new(pipeline, [], []);
}
