using System.ComponentModel.DataAnnotations;
using System.Runtime.Intrinsics.X86;
using Microsoft.Extensions.Options;
using Qbb.Contracts;
using Qbb.Recipes;
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

    /// <summary>What the presets of recipes are planned for.</summary>
    [ValidateObjectMembers]
    public PlannedWorkers Workers { get; set; } = new();

    /// <summary>The machine that presets are planned for.</summary>
    internal WorkMachine Machine => new(Workers.Cores ?? Environment.ProcessorCount, Workers.Gpu ?? Type == Precision.Bf16, Workers.CpuBf16, Workers.CpuAvx512 ?? Avx512F.IsSupported);

    internal PipelineLimits Limits => new() { Outstanding = Outstanding, QueueSeconds = QueueSeconds, Attempts = Attempts, Backoff = TimeSpan.FromSeconds(BackoffSeconds) };
}

/// <summary>A worker, as presets are planned for it.</summary>
public sealed class PlannedWorkers
{
    /// <summary>Cores of its processor; those of the registry's machine where it is not set.</summary>
    [Range(1, 10_000)]
    public int? Cores { get; set; }

    /// <summary>Whether it has a GPU; where it is not set, whether <see cref="PipelineOptions.Type"/> is bf16.</summary>
    public bool? Gpu { get; set; }

    /// <summary>Whether its processor has AVX-512; whether that of the registry's machine has it, where it is not set.</summary>
    public bool? CpuAvx512 { get; set; }

    /// <summary>Whether its processor has instructions for products in bf16.</summary>
    public bool CpuBf16 { get; set; }
}
