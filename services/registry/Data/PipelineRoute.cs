using Qbb.Contracts;

namespace Qbb.Registry.Pipelines.Machine;

/// <summary>Which kinds of work a recipe asks for.</summary>
/// <param name="Calibrated">The decomposition needs data.</param>
/// <param name="Distils">The scales are trained afterwards.</param>
/// <param name="SamplesWindows">The result is scored on sequences of the teacher's, not on a text.</param>
public sealed record PipelineRoute(bool Calibrated, bool Distils, bool SamplesWindows)
{
    public static PipelineRoute Of(PipelineRecipe recipe) =>
        new(recipe.IsCalibrated, recipe.Distillation is not null, recipe.EvaluationText is null);

    /// <summary>The kinds in their order. Calibration needs the data before the layers, filtering needs the student.</summary>
    public IEnumerable<UnitKind> Kinds() =>
    [
        .. Only(Calibrated, UnitKind.Sample, UnitKind.GatherData),
        UnitKind.Decompose,
        UnitKind.AssembleModel,
        .. Only(Distils && !Calibrated, UnitKind.Sample, UnitKind.GatherData),
        .. Only(Distils, UnitKind.Score, UnitKind.Filter, UnitKind.Distil),
        .. Only(SamplesWindows, UnitKind.SampleWindows, UnitKind.GatherWindows),
        UnitKind.Evaluate,
        UnitKind.Publish,
    ];

    /// <summary>The kind that follows another.</summary>
    public UnitKind After(UnitKind kind) => Kinds().SkipWhile(other => other != kind).Skip(1).First();

    private static UnitKind[] Only(bool condition, params UnitKind[] kinds) => condition ? kinds : [];
}
