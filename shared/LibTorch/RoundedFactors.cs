namespace Qbb.LibTorch;

/// <summary>
/// While it lives, an NVIDIA GPU multiplies fp32 matrices by its matrix units: factors are rounded to the 11 significant bits of TF32, sums are in
/// fp32. That is eight times as exact as bf16 and several times as fast as fp32. The setting is libtorch's own and holds for the whole process; it does
/// nothing on a CPU.
/// </summary>
public sealed class RoundedFactors : IDisposable
{
    private readonly bool _before = torch.backends.cuda.matmul.allow_tf32;

    public RoundedFactors() => torch.backends.cuda.matmul.allow_tf32 = true;

    public void Dispose() => torch.backends.cuda.matmul.allow_tf32 = _before;
}
