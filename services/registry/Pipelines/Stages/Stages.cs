namespace Qbb.Registry.Pipelines.Machine;

internal static class Stages
{
    /// <summary>The stage that a kind of work belongs to.</summary>
    public static Stage Of(UnitKind kind) => kind switch
    {
        UnitKind.Decompose or UnitKind.AssembleModel => Stage.Decompose,
        UnitKind.Sample or UnitKind.GatherData => Stage.Sample,
        UnitKind.Score or UnitKind.Filter => Stage.Filter,
        UnitKind.Distil => Stage.Distil,
        UnitKind.SampleWindows or UnitKind.GatherWindows or UnitKind.Evaluate => Stage.Evaluate,
        UnitKind.Publish => Stage.Publish,
        _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, "unknown kind of unit"),
    };
}
