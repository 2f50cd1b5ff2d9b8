using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Qbb.Registry.Data;

/// <summary>One unit of work, from when it is first sent: a row of the database.</summary>
internal sealed record PipelineUnit
{
    public required Guid PipelineId { get; init; }

    public required UnitKind Kind { get; init; }

    /// <summary>From 0 within its kind.</summary>
    public required int Index { get; init; }

    /// <summary>Its identity to workers: the digest of everything its result depends on. Null until its command exists.</summary>
    public string? Key { get; init; }

    /// <summary>The command as a statement of provenance keeps it (<c>UnitCommands</c>); null until it is made.</summary>
    public string? Command { get; init; }

    public UnitStatus Status { get; init; }

    /// <summary>Times that it was sent because it was new or had failed.</summary>
    public int Attempt { get; init; } = 1;

    /// <summary>Failures since it was first sent, or since a person retried it.</summary>
    public int Failures { get; init; }

    /// <summary>When a waiting unit is sent again.</summary>
    public DateTimeOffset? DueAt { get; init; }

    public string? Error { get; init; }

    /// <summary>Manifest of its result.</summary>
    public string? Result { get; init; }

    public UnitReport? Report { get; init; }

    /// <summary>What it held, where the worker says: layers, windows or sequences.</summary>
    public int? Size { get; init; }

    /// <summary>What calculated it, as the worker describes itself.</summary>
    public string? Environment { get; init; }

    public DateTimeOffset? DoneAt { get; init; }
}

internal enum UnitStatus
{
    /// <summary>Its command is queued, or a worker is running it.</summary>
    Sent,

    /// <summary>It failed and is sent again at its due time.</summary>
    Waiting,

    Done,
}

/// <summary>The metrics that a unit reports; null where it does not.</summary>
internal sealed record UnitReport
{
    /// <summary>Steps of the distillation that are done with this unit.</summary>
    public int? Step { get; init; }

    /// <summary>‖W − Ŵ‖²/‖W‖² of the unit's layers.</summary>
    public double? RelativeError { get; init; }

    /// <summary>KL to the teacher on held-out sequences before the distillation, nats per token.</summary>
    public double? StartKl { get; init; }

    /// <summary>The same of the best point so far.</summary>
    public double? Kl { get; init; }

    public double? BitsPerWeight { get; init; }

    public double? BitsPerParameter { get; init; }

    /// <summary>Of configuration and weights.</summary>
    public long? Bytes { get; init; }

    /// <summary>Of an evaluation.</summary>
    public ScoreSums? Sums { get; init; }
}

/// <summary>Sums over the scored positions of some windows, natural logarithms; those of all units add up.</summary>
/// <param name="Windows">Windows.</param>
/// <param name="Positions">Scored positions.</param>
/// <param name="CrossEntropy">Of −log p(next token) of the student.</param>
/// <param name="TeacherCrossEntropy">The same of the teacher.</param>
/// <param name="Divergence">Of KL(teacher ‖ student).</param>
/// <param name="Agreements">Positions where both have the same most likely token.</param>
internal sealed record ScoreSums(
    int Windows, long Positions, double CrossEntropy, double TeacherCrossEntropy, double Divergence, long Agreements)
{
    public static ScoreSums operator +(ScoreSums a, ScoreSums b) => new(
        a.Windows + b.Windows, a.Positions + b.Positions, a.CrossEntropy + b.CrossEntropy,
        a.TeacherCrossEntropy + b.TeacherCrossEntropy, a.Divergence + b.Divergence, a.Agreements + b.Agreements);
}

internal sealed class UnitMapping : IEntityTypeConfiguration<PipelineUnit>
{
    public void Configure(EntityTypeBuilder<PipelineUnit> builder)
    {
        builder.ToTable("units");
        builder.HasKey(unit => new { unit.PipelineId, unit.Kind, unit.Index });
        builder.HasIndex(unit => new { unit.PipelineId, unit.Key });
        // Of the few that wait: all others neither make nor change an entry.
        builder.HasIndex(unit => unit.DueAt).HasFilter("\"DueAt\" IS NOT NULL");
        builder.HasOne<Pipeline>().WithMany().HasForeignKey(unit => unit.PipelineId);
        builder.Property(unit => unit.Kind).AsName();
        builder.Property(unit => unit.Status).HasConversion<string>().HasMaxLength(16);
        builder.Property(unit => unit.Key).HasMaxLength(64);
        builder.Property(unit => unit.Result).HasMaxLength(64);
        builder.Property(unit => unit.Environment).HasMaxLength(128);
        builder.Property(unit => unit.Report).AsJson();
    }
}
