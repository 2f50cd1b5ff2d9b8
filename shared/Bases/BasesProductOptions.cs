using Qbb.Bases.Cpu;

namespace Qbb.Bases;

/// <summary>How layers of binary bases calculate where their scales are not trained.</summary>
public sealed record BasesProductOptions
{
    /// <summary>
    /// Inputs are rounded to int8 and summed as integers, with one multiplication per group and plane; null for sums of floats.
    /// </summary>
    public ActivationScale? Integer { get; init; }

    /// <summary>Instructions of the CPU's kernels; null for the best that the processor has.</summary>
    public CpuInstructions? Instructions { get; init; }

    /// <summary>Threads of the CPU's kernels; null for as many as libtorch uses.</summary>
    public int? Threads { get; init; }
}
