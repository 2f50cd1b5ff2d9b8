using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using Qbb.Contracts;

namespace Qbb.Registry.Data;

/// <summary>The state of one pipeline: a row of the database, and what the machine maps to the next state.</summary>
internal sealed record Pipeline
{
    public required Guid Id { get; init; }

    /// <summary>The model that gets the new version.</summary>
    public required Guid ModelId { get; init; }

    public required string ModelName { get; init; }

    /// <summary>The version that is quantized.</summary>
    public required Guid SourceId { get; init; }

    /// <summary>Digest of the manifest of the version that is quantized.</summary>
    public required string Model { get; init; }

    /// <summary>Digest of <see cref="RecipeJson"/>.</summary>
    public required string Recipe { get; init; }

    /// <summary>The recipe as canonical JSON.</summary>
    public required string RecipeJson { get; init; }

    /// <summary>What people call the recipe.</summary>
    public string? RecipeName { get; init; }

    public required PipelineRoute Route { get; init; }

    /// <summary>The pipeline whose result this one takes.</summary>
    public Guid? LeaderId { get; init; }

    public PipelineStatus Status { get; init; }

    /// <summary>The current kind of work.</summary>
    public required UnitKind Kind { get; init; }

    /// <summary>Units of this kind that were sent at least once.</summary>
    public int Issued { get; init; }

    /// <summary>Units of this kind that are done; of the distillation its steps.</summary>
    public int Done { get; init; }

    /// <summary>Units of this kind; 0 until the first of them has said how many there are.</summary>
    public int Total { get; init; }

    /// <summary>A unit of this kind needs the results of those before it.</summary>
    public bool Chained { get; init; }

    /// <summary>Units done (of the distillation: steps) that took no time since <see cref="KindStartedAt"/>: finished earlier, or reused from stored results.</summary>
    public int Given { get; init; }

    /// <summary>What a unit of this kind holds, as the first of them said.</summary>
    public int? UnitSize { get; init; }

    /// <summary>What a unit of this kind took a worker of late; null until one said so.</summary>
    public double? UnitSeconds { get; init; }

    /// <summary>The quantized model before distillation.</summary>
    public string? Student { get; init; }

    /// <summary>The sampled data.</summary>
    public string? Data { get; init; }

    /// <summary>The data that passed the filter.</summary>
    public string? Filtered { get; init; }

    /// <summary>The distillation's latest checkpoint.</summary>
    public string? Checkpoint { get; init; }

    /// <summary>The sequences that the result is scored on; null where that is a text.</summary>
    public string? Windows { get; init; }

    /// <summary>The distilled model, or the student where nothing is distilled.</summary>
    public string? Artifact { get; init; }

    /// <summary>The version that was published.</summary>
    public Guid? ResultId { get; init; }

    /// <summary>Why it failed; while it runs the latest failure of a unit.</summary>
    public string? Error { get; init; }

    /// <summary>What people should know of the result, such as that its distillation was of no use.</summary>
    public string? Note { get; init; }

    /// <summary>Rises with every start, so that a cancellation does not concern what a retry sends.</summary>
    public int Epoch { get; init; }

    /// <summary>How long the finished kinds took.</summary>
    public IReadOnlyList<KindTime> Times { get; init; } = [];

    /// <summary>What its kinds were expected to take when it was requested.</summary>
    public PipelineForecast? Forecast { get; init; }

    /// <summary>The span that it was requested in (W3C traceparent): whatever is done for it belongs to this trace.</summary>
    public string? TraceParent { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>When its first command was made.</summary>
    public DateTimeOffset? StartedAt { get; init; }

    /// <summary>When the first command of this kind was made.</summary>
    public DateTimeOffset KindStartedAt { get; init; }

    /// <summary>When it last made progress.</summary>
    public DateTimeOffset ActiveAt { get; init; }

    public DateTimeOffset? EndedAt { get; init; }

    /// <summary>Rises with every change.</summary>
    public int Revision { get; init; }

    /// <summary>Whether its work is done and its artifact is to become a version.</summary>
    public bool IsPublishing => Status == PipelineStatus.Running && Kind == UnitKind.Publish;

    /// <summary>Whether it stays as it is unless a person retries it.</summary>
    public bool HasEnded => Status is PipelineStatus.Succeeded or PipelineStatus.Failed or PipelineStatus.Cancelled;
}

internal enum PipelineStatus
{
    /// <summary>Not started.</summary>
    Created,

    /// <summary>Waits for the result of another pipeline of the same model and recipe.</summary>
    Following,

    Running,
    Succeeded,
    Failed,
    Cancelled,
}

/// <summary>What a unit of work does, by name; the objects behind the names are in Pipelines/Stages.</summary>
internal readonly record struct UnitKind(string Name)
{
    /// <summary>The last, which the registry does itself.</summary>
    public static readonly UnitKind Publish = new("Publish");

    /// <summary>As people and metrics read it: assemble-model.</summary>
    public override string ToString() => JsonNamingPolicy.KebabCaseLower.ConvertName(Name);
}

/// <summary>What a recipe needs; the kinds of work follow from it.</summary>
/// <param name="Calibrated">The decomposition needs data.</param>
/// <param name="Distils">The scales are trained afterwards.</param>
/// <param name="SamplesWindows">The result is scored on sequences sampled from the teacher, not on a text.</param>
internal sealed record PipelineRoute(bool Calibrated, bool Distils, bool SamplesWindows)
{
    public static PipelineRoute Of(PipelineRecipe recipe) => new(recipe.IsCalibrated, recipe.Distillation is not null, recipe.EvaluationText is null);
}

/// <summary>How long a finished kind of work took.</summary>
/// <param name="Kind">The kind.</param>
/// <param name="Units">Its units (steps of a distillation).</param>
/// <param name="Seconds">Wall time from the first command to the last result.</param>
/// <param name="Given">The units among them that took no part of it.</param>
internal sealed record KindTime(UnitKind Kind, int Units, double Seconds, int Given = 0)
{
    /// <summary>What all units would have taken; null where too few of them were run to tell.</summary>
    public double? WholeSeconds => 2 * Given > Units ? null : Seconds * Units / (Units - Given);
}

/// <summary>What the kinds of a pipeline's work are expected to take.</summary>
/// <param name="Kinds">The kinds that take time.</param>
/// <param name="IsMeasured">It rests on what such work took on these machines, not on the plan alone.</param>
internal sealed record PipelineForecast(IReadOnlyList<KindForecast> Kinds, bool IsMeasured)
{
    /// <summary>Seconds of a kind; 0 of one that takes none.</summary>
    public double this[UnitKind kind] => Kinds.FirstOrDefault(one => one.Kind == kind)?.Seconds ?? 0;

    /// <summary>What the units of some kinds need of a GPU's memory; 0 where none uses a GPU, null where that was not planned.</summary>
    public long? GpuBytesOf(IEnumerable<UnitKind> kinds) => Kinds.IntersectBy(kinds, kind => kind.Kind).Max(kind => kind.GpuBytes);
}

/// <summary>What a kind of work is expected to take.</summary>
/// <param name="Kind">The kind.</param>
/// <param name="Planned">Seconds that the plan says, for a machine of its own choice.</param>
/// <param name="Seconds">The same, corrected by what was measured.</param>
/// <param name="GpuBytes">The least of a GPU's memory that its units can do with; 0 of one that uses no GPU, null of a pipeline that had no such plan.</param>
internal sealed record KindForecast(UnitKind Kind, double Planned, double Seconds, long? GpuBytes = null);

internal sealed class PipelineMapping : IEntityTypeConfiguration<Pipeline>
{
    private static readonly string[] s_digests =
    [
        nameof(Pipeline.Model), nameof(Pipeline.Recipe), nameof(Pipeline.Student), nameof(Pipeline.Data), nameof(Pipeline.Filtered),
        nameof(Pipeline.Checkpoint), nameof(Pipeline.Windows), nameof(Pipeline.Artifact),
    ];

    public void Configure(EntityTypeBuilder<Pipeline> builder)
    {
        builder.ToTable("pipelines");
        builder.Property(pipeline => pipeline.Id).ValueGeneratedNever();
        // Of one model and recipe one pipeline runs at a time; the others follow it.
        builder.HasIndex(pipeline => new { pipeline.ModelId, pipeline.Model, pipeline.Recipe }).IsUnique().HasFilter("\"Status\" = 'Running' AND \"Kind\" <> 'Publish'");
        builder.HasIndex(pipeline => pipeline.LeaderId);
        // Lists are in the order of ids, which rise with time.
        builder.HasIndex(pipeline => new { pipeline.Status, pipeline.Id });
        builder.HasIndex(pipeline => new { pipeline.ModelName, pipeline.Id });
        builder.HasIndex(pipeline => pipeline.Recipe);
        builder.Property(pipeline => pipeline.ModelName).HasMaxLength(ModelName.MostCharacters);
        builder.Property(pipeline => pipeline.Status).HasConversion<string>().HasMaxLength(16);
        builder.Property(pipeline => pipeline.Kind).AsName();
        builder.Property(pipeline => pipeline.Route).AsJson();
        builder.Property(pipeline => pipeline.Times).AsJson();
        builder.Property(pipeline => pipeline.Forecast).AsJson();
        builder.Property(pipeline => pipeline.Revision).IsConcurrencyToken();
        builder.Property(pipeline => pipeline.TraceParent).HasMaxLength(64);
        foreach (var digest in s_digests)
            builder.Property(digest).HasMaxLength(64);
    }
}
