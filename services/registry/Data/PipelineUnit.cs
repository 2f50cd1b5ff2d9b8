namespace Qbb.Registry.Pipelines.Machine;

/// <summary>One unit of work, from when it is first sent: a row of the database.</summary>
internal sealed record PipelineUnit
{
    public required Guid PipelineId { get; init; }

    public required UnitKind Kind { get; init; }

    /// <summary>From 0 within its kind.</summary>
    public required int Index { get; init; }

    /// <summary>What it is known by to workers: the digest of all that its result depends on. Null until its command is made.</summary>
    public string? Key { get; init; }

    public UnitStatus Status { get; init; }

    /// <summary>Times that it was sent because it was new or had failed.</summary>
    public int Attempt { get; init; } = 1;

    /// <summary>Failures since it was sent first, or since a person asked for another try.</summary>
    public int Failures { get; init; }

    /// <summary>When a waiting unit is sent again.</summary>
    public DateTimeOffset? DueAt { get; init; }

    public string? Error { get; init; }

    /// <summary>Manifest of what it made.</summary>
    public string? Result { get; init; }

    public UnitReport? Report { get; init; }
}
