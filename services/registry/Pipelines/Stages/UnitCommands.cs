using Qbb.Contracts;
using Qbb.Registry.Pipelines.Machine;

namespace Qbb.Registry.Pipelines.Running;

/// <summary>Makes a unit's command out of the state of its pipeline; the same state makes the same command.</summary>
internal static class UnitCommands
{
    /// <summary>The kind whose results a unit's command lists; null for none.</summary>
    public static UnitKind? PartsOf(Pipeline pipeline, UnitKind kind) => kind switch
    {
        UnitKind.GatherData => UnitKind.Sample,
        UnitKind.GatherWindows => UnitKind.SampleWindows,
        UnitKind.AssembleModel => UnitKind.Decompose,
        UnitKind.Filter => UnitKind.Score,
        UnitKind.Decompose when pipeline.Chained => UnitKind.Decompose,
        _ => null,
    };

    /// <param name="pipeline">The state.</param>
    /// <param name="recipe">Digests of its recipe's parts.</param>
    /// <param name="order">The unit.</param>
    /// <param name="parts">Results of <see cref="PartsOf"/>, in order.</param>
    public static UnitCommand Make(Pipeline pipeline, RecipeParts recipe, UnitOrder order, IReadOnlyList<Digest> parts)
    {
        var (id, model, index) = (pipeline.Id, Digest.Parse(pipeline.Model), order.Index);
        // The first unit finds out what fits its time.
        var size = index == 0 ? null : pipeline.UnitSize;
        switch (order.Kind)
        {
            case UnitKind.Sample:
                var sample = new SampleSequences(id, model, recipe.Sampling, DataUse.Calibration, index);
                return new UnitCommand(sample, sample.Unit);
            case UnitKind.GatherData:
                var gather = new AssembleData(id, model, recipe.Sampling, DataUse.Calibration, parts);
                return new UnitCommand(gather, gather.Unit);
            case UnitKind.Decompose:
                var data = pipeline.Route.Calibrated ? Given(pipeline.Data) : null as Digest?;
                var decompose = new DecomposeLayers(id, model, recipe.Decomposition, data, index, size, [.. parts.Take(index)]);
                return new UnitCommand(decompose, decompose.Unit);
            case UnitKind.AssembleModel:
                var calibration = pipeline.Route.Calibrated ? Given(pipeline.Data) : null as Digest?;
                var assemble = new AssembleModel(id, model, recipe.Decomposition, calibration, pipeline.ModelName, parts);
                return new UnitCommand(assemble, assemble.Unit);
            case UnitKind.Score:
                var score = new ScoreSequences(id, model, Given(pipeline.Student), recipe.Filter, Given(pipeline.Data), index, size);
                return new UnitCommand(score, score.Unit);
            case UnitKind.Filter:
                var filter = new FilterSequences(id, model, Given(pipeline.Student), recipe.Filter, Given(pipeline.Data), parts);
                return new UnitCommand(filter, filter.Unit);
            case UnitKind.Distil:
                var checkpoint = pipeline.Checkpoint is { } last ? Digest.Parse(last) : null as Digest?;
                var distil = new DistillRound(
                    id, model, Given(pipeline.Student), recipe.Distillation, Given(pipeline.Filtered), checkpoint);
                return new UnitCommand(distil, distil.Unit);
            case UnitKind.SampleWindows:
                var windows = new SampleSequences(id, model, recipe.Evaluation, DataUse.Evaluation, index);
                return new UnitCommand(windows, windows.Unit);
            case UnitKind.GatherWindows:
                var together = new AssembleData(id, model, recipe.Evaluation, DataUse.Evaluation, parts);
                return new UnitCommand(together, together.Unit);
            case UnitKind.Evaluate:
                var sequences = pipeline.Windows is { } sampled ? Digest.Parse(sampled) : null as Digest?;
                var evaluate = new EvaluateWindows(id, model, Given(pipeline.Artifact), recipe.Evaluation, sequences, index, size);
                return new UnitCommand(evaluate, evaluate.Unit);
            default:
                throw new InvalidOperationException($"a unit of kind {order.Kind} has no command");
        }
    }

    private static Digest Given(string? digest) => Digest.Parse(digest);
}
