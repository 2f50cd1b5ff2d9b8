using System.Runtime.InteropServices;
using Qbb.Bases;
using Qbb.Quantizer.Layers;
using Qbb.Torch;

namespace Qbb.Quantizer.Batched;

/// <summary>A weight as binary bases on the device where it was decomposed.</summary>
public sealed class TorchDecomposition : IDisposable
{
    internal TorchDecomposition(
        Tensor planes, Tensor alpha, Tensor? beta, int inFeatures, int groupSize, double norm, double[] errors, double[] initErrors,
        double[] flips, long subnormal)
    {
        (Planes, Alpha, Beta, InFeatures, GroupSize) = (planes, alpha, beta, inFeatures, groupSize);
        (SquaredNorm, Errors, InitErrors, Flips, SubnormalScales) = (norm, errors, initErrors, flips, subnormal);
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
    public double SquaredNorm { get; }

    /// <summary>‖W − Ŵ‖² with the first 1..N bases.</summary>
    public IReadOnlyList<double> Errors { get; }

    /// <summary>The same of the init, before refinement and rounding.</summary>
    public IReadOnlyList<double> InitErrors { get; }

    /// <summary>Signs of each basis that differ from the init's.</summary>
    public IReadOnlyList<double> Flips { get; }

    /// <summary>Scales and biases that fp16 keeps with fewer digits, or loses.</summary>
    public long SubnormalScales { get; }

    /// <summary>‖W − Ŵ‖²/‖W‖².</summary>
    public double RelativeError => LayerReport.Relative(Errors[^1], SquaredNorm);

    /// <summary>A copy in managed memory.</summary>
    public BinaryBases ToBinaryBases()
    {
        using var scope = torch.NewDisposeScope();
        var planes = MemoryMarshal.Cast<int, uint>(Planes.to(Device.CPU).contiguous().data<int>()).ToArray();
        var alpha = Alpha.to(Device.CPU).contiguous().to_array<Half>();
        var beta = Beta?.to(Device.CPU).contiguous().to_array<Half>();
        return new BinaryBases((int)Alpha.size(0), (int)Alpha.size(1), InFeatures, GroupSize, planes, alpha, beta);
    }

    public void Dispose()
    {
        Planes.Dispose();
        Alpha.Dispose();
        Beta?.Dispose();
    }
}
