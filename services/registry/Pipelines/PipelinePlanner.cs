using Microsoft.EntityFrameworkCore;
using Qbb.Artifacts;
using Qbb.Contracts;
using Qbb.Recipes;
using Qbb.Registry.Data;
using Qbb.Registry.Pipelines.Stages;

namespace Qbb.Registry.Pipelines;

/// <summary>Forecasts what the kinds of a pipeline's work will take: by the plan, corrected by what such work took before on these machines.</summary>
internal sealed class PipelinePlanner(RegistryContext context, IArtifactStore store)
{
    private const int History = 8;

    public async Task<PipelineForecast> ForecastAsync(ModelVersion version, PipelineRecipe recipe, CancellationToken cancellation)
    {
        var text = recipe.EvaluationText is { } digest ? (await store.FindAsync(digest, cancellation))?.Size : null;
        var shape = version.Shape ?? ModelShape.Guess(version.Bytes);
        var planned = PlannedWork.Of(recipe, shape, version.Bytes, text ?? 0);
        var gpu = PlannedWork.GpuBytes(recipe, shape, version.Bytes);
        // One that followed another, or that ran before there were forecasts, tells nothing.
        var done = context.Pipelines.AsNoTracking()
            .Where(pipeline => pipeline.Status == PipelineStatus.Succeeded && pipeline.LeaderId == null && pipeline.Forecast != null);
        var name = recipe.Digest.Value;
        var same = await done.Where(pipeline => pipeline.Recipe == name && pipeline.Model == version.Manifest).OrderByDescending(pipeline => pipeline.Id)
            .Take(History).Select(pipeline => pipeline.Times).ToListAsync(cancellation);
        var others = await done.OrderByDescending(pipeline => pipeline.Id).Take(History)
            .Select(pipeline => new { pipeline.Times, pipeline.Forecast }).ToListAsync(cancellation);
        var forecast = Correct(planned, same, [.. others.Select(other => (other.Times, other.Forecast!))]);
        return forecast with { Kinds = [.. forecast.Kinds.Select(kind => kind with { GpuBytes = gpu.GetValueOrDefault(kind.Kind) })] };
    }

    /// <summary>A plan with what was measured in place of what was planned, as far as it goes.</summary>
    /// <param name="planned">Seconds of the kinds.</param>
    /// <param name="same">Times of pipelines of the same model and recipe, the newest first.</param>
    /// <param name="others">Times of other pipelines, and what had been forecast of them.</param>
    public static PipelineForecast Correct(
        IReadOnlyList<(UnitKind Kind, double Seconds)> planned, IReadOnlyList<IReadOnlyList<KindTime>> same,
        IReadOnlyList<(IReadOnlyList<KindTime> Times, PipelineForecast Forecast)> others)
    {
        var ratios = others.SelectMany(other => other.Times.Select(time => (time.Kind, Measured: time.WholeSeconds, Planned: other.Forecast.Kinds.FirstOrDefault(kind => kind.Kind == time.Kind)?.Planned)))
            .Where(time => time is { Measured: > 0, Planned: > 0 }).Select(time => (time.Kind, Ratio: time.Measured!.Value / time.Planned!.Value)).ToList();
        var byKind = ratios.ToLookup(ratio => ratio.Kind, ratio => ratio.Ratio);
        var usual = Median(ratios.Select(ratio => ratio.Ratio));
        return new PipelineForecast(
            [.. planned.Select(kind => new KindForecast(kind.Kind, kind.Seconds, Same(kind.Kind) ?? kind.Seconds * (Median(byKind[kind.Kind]) ?? usual ?? 1)))],
            same.Count + ratios.Count > 0);

        double? Same(UnitKind kind) => same.Select(times => times.LastOrDefault(time => time.Kind == kind)?.WholeSeconds).FirstOrDefault(seconds => seconds is not null);
    }

    private static double? Median(IEnumerable<double> values)
    {
        var sorted = values.Order().ToList();
        return sorted.Count == 0 ? null : sorted[sorted.Count / 2];
    }
}

/// <summary>The plan of a pipeline: what its kinds would take on a machine like the registry's, which has no GPU, and what they need of one.</summary>
internal static class PlannedWork
{
    private const double BytesOfAToken = 4;
    private const double BytesASecond = 100e6;
    // As the workers choose them.
    private const int UsualContext = 2048, UsualLength = 512, UsualSequences = 32;
    // A kind takes so long even where there is next to nothing to do: messages, and the model from the disk.
    private const double Least = 0.5;

    /// <param name="recipe">Valid.</param>
    /// <param name="shape">Of the model.</param>
    /// <param name="bytes">Of its files.</param>
    /// <param name="textBytes">Of the text that the result is scored on.</param>
    public static IReadOnlyList<(UnitKind Kind, double Seconds)> Of(PipelineRecipe recipe, ModelShape shape, long bytes, long textBytes)
    {
        var machine = WorkMachine.Here(Environment.ProcessorCount, gpu: false);
        var model = shape.Counts(bytes);
        var choices = Choices(recipe, shape);
        var plan = QuantizationPlan.Of(choices, model, machine);
        var (count, context) = Scored(recipe, shape, textBytes);
        var seconds = new Dictionary<UnitKind, double>
        {
            [SampleStage.Kind] = Planned("sample"),
            [DecomposeStage.Kind] = plan.Stages.First(stage => stage.Name == QuantizationPlan.Quantizing).Estimate.Seconds is > 0 and var known ? known : Unmeasured(choices, model, machine),
            [AssembleStage.Kind] = plan.OutputBytes / BytesASecond,
            [ScoreStage.Kind] = choices.Filter is { Keep: < 1 } ? Scoring(choices.Sampling!.Sequences, choices.Sampling.Length) : 0,
            [DistilStage.Kind] = Planned("distill"),
            [SampleStage.WindowsKind] = WorkPlan.Sample(model, count, context, machine).Seconds,
            [EvaluateStage.Kind] = Scoring(count, context),
        };
        return [.. PipelineRoute.Of(recipe).Kinds().Where(kind => kind != PublishStage.Kind).Select(kind => (kind, Math.Max(Least, seconds.GetValueOrDefault(kind))))];

        double Planned(string name) => plan.Stages.FirstOrDefault(stage => stage.Name == name)?.Estimate.Seconds ?? 0;

        // Teacher and student.
        double Scoring(int sequences, int length) => 2 * WorkPlan.Evaluate(model, sequences, length, machine).Seconds;
    }

    /// <summary>
    /// The least of a GPU's memory that the kinds can do with: where a worker takes as many sequences at once as fit, one of them. Kinds that have
    /// nothing for a GPU are left out.
    /// </summary>
    /// <param name="recipe">Valid.</param>
    /// <param name="shape">Of the model.</param>
    /// <param name="bytes">Of its files.</param>
    public static IReadOnlyDictionary<UnitKind, long> GpuBytes(PipelineRecipe recipe, ModelShape shape, long bytes)
    {
        var machine = new WorkMachine(Environment.ProcessorCount, Gpu: true);
        var model = shape.Counts(bytes);
        var choices = Choices(recipe, shape);
        var length = choices.Sampling?.Length ?? 0;
        var (_, context) = Scored(recipe, shape, 0);
        var needs = new Dictionary<UnitKind, long>
        {
            [SampleStage.WindowsKind] = WorkPlan.Sample(model, 1, context, machine).GpuBytes,
            [EvaluateStage.Kind] = Scoring(context),
        };
        if (WorkPlan.UsesGpu(choices.Recipe))
            needs[DecomposeStage.Kind] = Decomposing();
        if (choices.Sampling is not null)
            needs[SampleStage.Kind] = WorkPlan.Sample(model, 1, length, machine).GpuBytes;
        if (choices.Filter is { Keep: < 1 })
            needs[ScoreStage.Kind] = Scoring(length);
        if (choices.Recipe.Distillation is { } training)
            needs[DistilStage.Kind] = WorkPlan.Distill(model, training, training.Batch, length, machine).GpuBytes;
        return needs;

        // The student is packed: a small part of its teacher.
        long Scoring(int tokens) => WorkPlan.Evaluate(model, 1, tokens, machine).GpuBytes + WorkPlan.OutputBytes(model, choices.Recipe);

        // What was not measured holds a layer and its calibration, as the plain ones do.
        long Decomposing() => (WorkPlan.Quantize(model, choices.Recipe, length, length, machine)
            ?? WorkPlan.Quantize(model, new Recipe { Bases = choices.Recipe.Bases, Group = choices.Recipe.Group, Importance = choices.Recipe.Importance }, length, length, machine)!).GpuBytes;
    }

    private static QuantizationRecipe Choices(PipelineRecipe recipe, ModelShape shape)
    {
        var choices = QuantizationRecipe.Parse(recipe.ToJson());
        return choices with { Sampling = choices.Sampling is { } sampling ? sampling with { Length = Math.Min(sampling.Length, shape.Positions) } : null };
    }

    private static (int Count, int Context) Scored(PipelineRecipe recipe, ModelShape shape, long textBytes)
    {
        var evaluation = EvaluationPart.FromJson(CanonicalJson.Write(recipe.Evaluation));
        var windows = evaluation.Sampling is { } own && own.ContainsKey("sequences") ? SamplingOptions.FromJson(own).Sequences : UsualSequences;
        return recipe.EvaluationText is null
            ? (windows, Math.Min(UsualLength, shape.Positions))
            : Windows(evaluation, textBytes, Math.Min(evaluation.Context ?? UsualContext, shape.Positions));
    }

    private static (int Count, int Context) Windows(EvaluationPart evaluation, long textBytes, int context) =>
        ((int)Math.Clamp(textBytes / BytesOfAToken / context, 1, evaluation.Windows ?? int.MaxValue), context);

    // Nested bases and gradient refinements were not measured; they take several times the plain ones.
    private static double Unmeasured(QuantizationRecipe choices, ModelCounts model, WorkMachine machine) =>
        4 * WorkPlan.Quantize(model, new Recipe { Bases = choices.Recipe.Bases, Group = choices.Recipe.Group }, 0, 0, machine)!.Seconds;
}
