namespace Qbb.Registry.Pipelines.Machine;

/// <summary>Bounds of a pipeline's work.</summary>
internal sealed record PipelineLimits
{
    /// <summary>Units of one pipeline that are outstanding at once: enough for all workers, few enough to stop soon and be fair.</summary>
    public int Outstanding { get; init; } = 64;

    /// <summary>Failures of a unit after which its pipeline fails.</summary>
    public int Attempts { get; init; } = 5;

    /// <summary>Wait before the second attempt; it doubles with every further one.</summary>
    public TimeSpan Backoff { get; init; } = TimeSpan.FromSeconds(2);

    public TimeSpan LongestBackoff { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>Wait after so many failures, at least 1.</summary>
    public TimeSpan BackoffAfter(int failures) =>
        TimeSpan.FromTicks((long)Math.Min(LongestBackoff.Ticks, Backoff.Ticks * Math.Pow(2, Math.Min(failures - 1, 30))));
}
