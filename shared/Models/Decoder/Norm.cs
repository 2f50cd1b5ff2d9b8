using Qbb.Checkpoints;
using Qbb.Models.Decoder.Kernels;

namespace Qbb.Models.Decoder;

/// <summary>A normalisation over the last dimension. Statistics are in fp32 at least.</summary>
internal sealed class Norm(NormSpec spec, double epsilon, Tensor? weight, Tensor? bias) : IDisposable
{
    public static Norm Load(ITensorSource source, NormSpec spec, double epsilon, Device device, ScalarType dtype, bool own)
    {
        return new Norm(spec, epsilon, Read(spec.Weight), Read(spec.Bias));

        Tensor? Read(string? name) => name is null ? null : WeightLoader.Load(source, name, [spec.Size], device, dtype, own);
    }

    /// <param name="x">[…, size]</param>
    public Tensor forward(Tensor x) =>
        spec.Kind is NormKind.LayerNorm or NormKind.LayerNormPlain
            ? torch.nn.functional.layer_norm(x, [spec.Size], weight, bias, epsilon)
            : IsFused(x) ? FusedNorm.Apply(x, null, weight!, epsilon, spec.Kind == NormKind.RmsPlusOne).Normed : Rms(x);

    /// <summary>The norm of a sum, and the sum, which the residual stream continues with.</summary>
    /// <param name="x">[…, size]</param>
    /// <param name="branch">As x.</param>
    public (Tensor Sum, Tensor Normed) forward(Tensor x, Tensor branch)
    {
        if (IsFused(x))
            return FusedNorm.Apply(x, branch, weight!, epsilon, spec.Kind == NormKind.RmsPlusOne);
        var sum = x + branch;
        return (sum, forward(sum));
    }

    /// <summary>[size], or null.</summary>
    public Tensor? Weight => weight;

    /// <summary>Multiplies by 1 + weight.</summary>
    public bool IsPlusOne => spec.Kind == NormKind.RmsPlusOne;

    public IEnumerable<(string Name, Tensor Value)> Parameters()
    {
        if (weight is not null)
            yield return (spec.Weight!, weight);
        if (bias is not null)
            yield return (spec.Bias!, bias);
    }

    public void Dispose()
    {
        weight?.Dispose();
        bias?.Dispose();
    }

    private bool IsFused(Tensor x) => spec.Kind is NormKind.Rms or NormKind.RmsPlusOne && FusedNorm.Serves(x, weight!);

    private Tensor Rms(Tensor x)
    {
        using var scope = torch.NewDisposeScope();
        var precision = Precision.OfStatistics(x.dtype);
        var wide = x.to(precision);
        var scaled = wide * wide.square().mean([-1], keepdim: true).add(epsilon).rsqrt();
        // LLaMA rounds before it multiplies by the weight, Gemma after.
        var result = spec.Kind == NormKind.RmsPlusOne
            ? (scaled * (weight!.to(precision) + 1)).to(x.dtype)
            : scaled.to(x.dtype) * weight!;
        return result.MoveToOuterDisposeScope();
    }
}
