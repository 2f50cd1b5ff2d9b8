namespace Qbb.Registry.Pipelines.Machine;

/// <summary>The state of one pipeline: a row of the database, and what <see cref="PipelineMachine"/> maps to the next.</summary>
internal sealed record Pipeline
{
    public required Guid Id { get; init; }

    /// <summary>The model whose version is made.</summary>
    public required Guid ModelId { get; init; }

    /// <summary>Its name.</summary>
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

    /// <summary>Which kinds of work the recipe asks for.</summary>
    public required PipelineRoute Route { get; init; }

    /// <summary>The pipeline whose result this one takes.</summary>
    public Guid? LeaderId { get; init; }

    public PipelineStatus Status { get; init; }

    /// <summary>What is being worked on.</summary>
    public UnitKind Kind { get; init; }

    /// <summary>Units of this kind that were sent at least once.</summary>
    public int Issued { get; init; }

    /// <summary>Units of this kind that are done; of the distillation its steps.</summary>
    public int Done { get; init; }

    /// <summary>Units of this kind; 0 until the first of them has said how many there are.</summary>
    public int Total { get; init; }

    /// <summary>A unit of this kind needs the results of those before it.</summary>
    public bool Chained { get; init; }

    /// <summary>What a unit of this kind holds, as the first of them said.</summary>
    public int? UnitSize { get; init; }

    /// <summary>The quantized model before distillation.</summary>
    public string? Student { get; init; }

    /// <summary>The sampled data.</summary>
    public string? Data { get; init; }

    /// <summary>The data that are kept.</summary>
    public string? Filtered { get; init; }

    /// <summary>Where the distillation stands.</summary>
    public string? Checkpoint { get; init; }

    /// <summary>The sequences that the result is scored on; null where that is a text.</summary>
    public string? Windows { get; init; }

    /// <summary>The distilled model, or the student where nothing is distilled.</summary>
    public string? Artifact { get; init; }

    /// <summary>The version that was made.</summary>
    public Guid? ResultId { get; init; }

    /// <summary>Why it failed; while it runs the latest trouble of a unit.</summary>
    public string? Error { get; init; }

    /// <summary>How long the finished kinds took.</summary>
    public IReadOnlyList<KindTime> Times { get; init; } = [];

    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>When its first command was made.</summary>
    public DateTimeOffset? StartedAt { get; init; }

    /// <summary>When the first command of this kind was made.</summary>
    public DateTimeOffset KindStartedAt { get; init; }

    /// <summary>When something came of it last.</summary>
    public DateTimeOffset ActiveAt { get; init; }

    public DateTimeOffset? EndedAt { get; init; }

    /// <summary>Rises with every change.</summary>
    public int Revision { get; init; }

    /// <summary>Whether nothing more comes of it by itself.</summary>
    public bool HasEnded => Status is PipelineStatus.Succeeded or PipelineStatus.Failed or PipelineStatus.Cancelled;
}
