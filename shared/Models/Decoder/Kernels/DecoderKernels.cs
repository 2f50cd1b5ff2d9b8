using Qbb.Cuda;

namespace Qbb.Models.Decoder.Kernels;

/// <summary>decoder.cu: what stands between the matrix products of a block, on a GPU.</summary>
internal static class DecoderKernels
{
    /// <summary>Threads of a block where every thread has eight elements of its own.</summary>
    private const int Threads = 256;

    internal static readonly ElementKernels All = new(typeof(DecoderKernels).Assembly, "decoder.cu");

    public static Kernel Named(string name, Tensor x) => All.For(x)[name];

    /// <summary>Launches one thread for every eight elements.</summary>
    public static void ForEach(string name, Tensor x, long units, params ReadOnlySpan<KernelArgument> arguments) =>
        Named(name, x).Launch(checked((int)((units + Threads - 1) / Threads)), Threads, 0, arguments);

    /// <summary>Whether gradients with respect to any of the tensors are wanted.</summary>
    public static bool Record(params ReadOnlySpan<Tensor?> inputs)
    {
        if (!torch.is_grad_enabled())
            return false;
        foreach (var input in inputs)
        {
            if (input is { requires_grad: true })
                return true;
        }
        return false;
    }
}
