using System.ComponentModel.DataAnnotations;
using Qbb.Contracts;
using Qbb.Registry.Pipelines.Machine;

namespace Qbb.Registry.Pipelines;

/// <summary>Section <c>Pipelines</c> of the configuration.</summary>
public sealed class PipelineOptions
{
    public const string Section = "Pipelines";

    /// <summary>Units of one pipeline that are outstanding at once.</summary>
    [Range(1, 100_000)]
    public int Outstanding { get; set; } = 64;

    /// <summary>Seconds of a pipeline's own work that may be queued at once, so that others do not wait long behind it.</summary>
    [Range(1, 10_000)]
    public double QueueSeconds { get; set; } = 60;

    /// <summary>
    /// Units that each worker of a queue is sent at once, however long they take: one at hand and one that follows. What is sent cannot be passed by
    /// shorter units any more; what scales workers by the length of their queues needs more of them than it wants a worker to have.
    /// </summary>
    [Range(1, 1000)]
    public int UnitsPerWorker { get; set; } = 2;

    /// <summary>Failures of a unit after which its pipeline fails.</summary>
    [Range(1, 100)]
    public int Attempts { get; set; } = 5;

    /// <summary>Seconds before the second attempt; every further one waits twice as long, up to 5 minutes.</summary>
    [Range(0.01, 300)]
    public double BackoffSeconds { get; set; } = 2;

    /// <summary>With a broker: minutes without a sign of a pipeline after which its outstanding units are sent again, if their queue is empty.</summary>
    [Range(1, 10_000)]
    public double SilenceMinutes { get; set; } = 20;

    /// <summary>The type that a pipeline calculates in whose recipe names none; bf16 where the workers have GPUs.</summary>
    public Precision Type { get; set; }

    internal PipelineLimits Limits => new() { Outstanding = Outstanding, QueueSeconds = QueueSeconds, Attempts = Attempts, Backoff = TimeSpan.FromSeconds(BackoffSeconds) };
}
