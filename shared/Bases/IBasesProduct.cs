namespace Qbb.Bases;

/// <summary>The product with a weight of binary bases straight from its signs, on one kind of device; picks its kernel by shape and batch.</summary>
public interface IBasesProduct : IDisposable
{
    /// <summary>y = x Ŵᵀ, without gradients.</summary>
    /// <param name="x">[…, in], any number of tokens.</param>
    /// <returns>[…, out] of the type of x; belongs to the caller's dispose scope.</returns>
    Tensor forward(Tensor x);
}
