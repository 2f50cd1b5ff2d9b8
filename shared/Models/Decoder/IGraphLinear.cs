namespace Qbb.Models.Decoder;

/// <summary>A linear layer that can be part of a CUDA graph: it writes where it is told and allocates nothing.</summary>
public interface IGraphLinear : ILinear
{
    /// <summary>Whether <see cref="Write"/> can be used for so many tokens of a type.</summary>
    bool CanWrite(int tokens, ScalarType type);

    /// <summary>y = x Wᵀ + b, plus <paramref name="addend"/>; queued on the current stream of the layer's GPU.</summary>
    /// <param name="x">[tokens, in], contiguous.</param>
    /// <param name="addend">[tokens, out] or null; may be <paramref name="y"/>.</param>
    /// <param name="y">[tokens, out], contiguous; not x.</param>
    void Write(Tensor x, Tensor? addend, Tensor y);

    /// <summary>y = norm(x) Wᵀ + b, the RMS norm in the same kernel; false, and nothing done, where the layer has no such kernel.</summary>
    /// <param name="x">[tokens, in]</param>
    /// <param name="weight">[in], of the norm.</param>
    /// <param name="epsilon">Added to the mean square.</param>
    /// <param name="plusOne">Multiply by 1 + weight.</param>
    /// <param name="y">[tokens, out]</param>
    bool TryWriteNormed(Tensor x, Tensor weight, double epsilon, bool plusOne, Tensor y) => false;

    /// <summary>y = (silu(gate) ⊙ up) Wᵀ + b + addend in one kernel; false, and nothing done, where the layer has no such kernel.</summary>
    /// <param name="x">Gate and up side by side, [tokens, 2 in].</param>
    /// <param name="addend">[tokens, out] or null; may be <paramref name="y"/>.</param>
    /// <param name="y">[tokens, out]</param>
    bool TryWriteGated(Tensor x, Tensor? addend, Tensor y) => false;

    /// <summary>
    /// One layer with the rows of this one and of others behind them, so that one product serves them all. The parts go on working on its
    /// memory. Null where they do not go together; the caller owns the result.
    /// </summary>
    IGraphLinear? Join(IReadOnlyList<IGraphLinear> others);
}
