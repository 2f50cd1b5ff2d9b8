using System.Diagnostics;
using System.Runtime.InteropServices;
using Qbb.Bases;
using Qbb.Quantizer.Methods.OutputAware;

namespace Qbb.Quantizer.Methods.Alternating;

/// <summary>A weight as binary bases on the device where it was decomposed.</summary>
public sealed class TorchDecomposition : IDisposable
{
    /// <summary>Takes the tensors out of their dispose scope.</summary>
    internal TorchDecomposition(Tensor planes, Tensor alpha, Tensor? beta, int inFeatures, int groupSize)
    {
        Planes = planes.DetachFromDisposeScope();
        Alpha = alpha.DetachFromDisposeScope();
        Beta = beta?.DetachFromDisposeScope();
        (InFeatures, GroupSize) = (inFeatures, groupSize);
        SubnormalScales = Subnormal(alpha) + (beta is null ? 0 : Subnormal(beta));
    }

    /// <summary>Signs, i32 [N, out, ceil(in/32)].</summary>
    public Tensor Planes { get; }

    /// <summary>Scales, f16 [N, out, groups].</summary>
    public Tensor Alpha { get; }

    /// <summary>Bias of every group, f16 [out, groups], or null.</summary>
    public Tensor? Beta { get; }

    /// <summary>Columns of the weight.</summary>
    public int InFeatures { get; }

    /// <summary>Columns that share a scale.</summary>
    public int GroupSize { get; }

    /// <summary>‖W‖².</summary>
    public required double SquaredNorm { get; init; }

    /// <summary>‖W − Ŵ‖² with the first 1..N bases.</summary>
    public required IReadOnlyList<double> Errors { get; init; }

    /// <summary>The same of the init, before refinement and rounding.</summary>
    public required IReadOnlyList<double> InitErrors { get; init; }

    /// <summary>Signs of each basis that differ from the init's.</summary>
    public required IReadOnlyList<double> Flips { get; init; }

    /// <summary>Scales and biases that fp16 keeps with fewer digits, or loses.</summary>
    public long SubnormalScales { get; }

    /// <summary>The error of the layer's outputs, step by step; null for methods that do not look at it.</summary>
    public OutputError? Output { get; init; }

    /// <summary>‖W − Ŵ‖²/‖W‖².</summary>
    public double RelativeError => LayerReport.Relative(Errors[^1], SquaredNorm);

    /// <summary>A copy in managed memory.</summary>
    public BinaryBases ToBinaryBases()
    {
        using var scope = torch.NewDisposeScope();
        var planes = MemoryMarshal.Cast<int, uint>(Planes.to(torch.CPU).contiguous().AsSpan<int>()).ToArray();
        var alpha = Alpha.to(torch.CPU).contiguous().ToArray<Half>();
        var beta = Beta?.to(torch.CPU).contiguous().ToArray<Half>();
        return new BinaryBases((int)Alpha.size(0), (int)Alpha.size(1), InFeatures, GroupSize, planes, alpha, beta);
    }

    /// <summary>The layer's result in managed memory, with its report.</summary>
    /// <param name="name">The weight's name.</param>
    /// <param name="clock">Runs since the layer was begun.</param>
    internal LayerResult ToResult(string name, Stopwatch clock)
    {
        var bases = ToBinaryBases();
        var elements = (double)bases.OutFeatures * bases.InFeatures;
        var report = new LayerReport(
            name, bases.OutFeatures, bases.InFeatures, bases.EffectiveBitsPerWeight, SquaredNorm, Errors[^1],
            [.. Errors.Select(error => LayerReport.Relative(error, SquaredNorm))],
            [.. InitErrors.Select(error => LayerReport.Relative(error, SquaredNorm))],
            [.. Flips.Select(flips => flips / elements)],
            SubnormalScales, clock.Elapsed.TotalSeconds);
        return new LayerResult(bases, report with { Output = Output });
    }

    public void Dispose()
    {
        Planes.Dispose();
        Alpha.Dispose();
        Beta?.Dispose();
    }

    private static long Subnormal(Tensor scales)
    {
        using var scope = torch.NewDisposeScope();
        var magnitude = scales.to(ScalarType.Float32).abs();
        return magnitude.lt(HalfScales.SmallestNormal).logical_and(magnitude.gt(0)).sum().ToInt64();
    }
}
