namespace Qbb.Quantizer.Methods.Alternating;

/// <summary>G refined groups, on the device that refined them.</summary>
/// <param name="Codes">Signs, i32 [G, g]: bit i for basis i.</param>
/// <param name="Alpha">f16 [N, G].</param>
/// <param name="Beta">f16 [G], or null.</param>
/// <param name="Norm">Σw², a scalar.</param>
/// <param name="Errors">Σ(w − ŵ)² with the first 1..N bases, [N].</param>
/// <param name="InitErrors">The same of the init, [N].</param>
/// <param name="Flips">Signs of each basis that differ from the init's, [N].</param>
internal sealed record BatchResult(Tensor Codes, Tensor Alpha, Tensor? Beta, Tensor Norm, Tensor Errors, Tensor InitErrors, Tensor Flips)
{
    /// <summary>Hands all tensors to the scope around the present one.</summary>
    public BatchResult MoveToOuterDisposeScope()
    {
        foreach (var tensor in new[] { Codes, Alpha, Beta, Norm, Errors, InitErrors, Flips })
            tensor?.MoveToOuterDisposeScope();
        return this;
    }
}
