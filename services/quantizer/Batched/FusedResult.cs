using Qbb.Torch;

namespace Qbb.Quantizer.Batched;

/// <summary>A weight as the fused kernel refined it, on its device.</summary>
/// <param name="Codes">Signs, u8 [out, in]: bit i for basis i.</param>
/// <param name="Alpha">f16 [N, out, groups].</param>
/// <param name="Beta">f16 [out, groups], or null.</param>
/// <param name="Statistics">
/// f64 [1 + 3N], summed over all groups: Σw²; Σ(w − ŵ)² with the first 1..N bases; the same of the init; signs of each basis that differ
/// from the init's.
/// </param>
internal sealed record FusedResult(Tensor Codes, Tensor Alpha, Tensor? Beta, Tensor Statistics)
{
    /// <summary>Hands all tensors to the scope around the present one.</summary>
    public FusedResult MoveToOuterDisposeScope()
    {
        foreach (var tensor in new[] { Codes, Alpha, Beta, Statistics })
            tensor?.MoveToOuterDisposeScope();
        return this;
    }
}
