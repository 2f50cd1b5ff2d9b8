using Qbb.Cuda;

namespace Qbb.Quantizer.Distillation;

/// <summary>
/// ‖x − t‖²/‖t‖² of two tensors on a GPU, read once each in their own type, and its gradient by x in one more pass. The plain form stands in
/// <see cref="MixedStack"/>.
/// </summary>
internal static class FusedDistance
{
    private const int Threads = 256, MostBlocks = 1024, AtOnce = 8;

    internal static readonly ElementKernels Kernels = new(typeof(FusedDistance).Assembly, "distance.cu");

    /// <summary>Whether it can take the place of the plain form.</summary>
    public static bool Serves(Tensor x, Tensor t) => ElementKernels.Serve(x) && t.dtype == x.dtype && x.numel() > 0 && IsAligned(x) && IsAligned(t);

    private static bool IsAligned(Tensor x) => !x.is_contiguous() || x.data_ptr() % 16 == 0;

    /// <returns>Of no dimensions, f32.</returns>
    public static Tensor Relative(Tensor x, Tensor t)
    {
        using var scope = torch.NewDisposeScope();
        Tensor distance, ours, theirs, norms;
        using (torch.no_grad())
        {
            (ours, theirs) = (x.contiguous(), t.contiguous());
            var blocks = (int)Math.Min(MostBlocks, (x.numel() + Threads * AtOnce - 1) / (Threads * AtOnce));
            var partial = torch.empty([blocks, 2], ScalarType.Float32, x.device);
            Kernels.For(x)["distance"].Launch(blocks, Threads, 0, ours, theirs, partial, x.numel());
            norms = partial.sum([0]);
            distance = norms.select(0, 0) / norms.select(0, 1);
        }
        if (torch.is_grad_enabled() && x.requires_grad)
        {
            var shape = x.shape;
            var (a, b, c) = (Gradients.Save(ours), Gradients.Save(theirs), Gradients.Save(norms));
            Gradients.Record([x], [distance], given =>
            {
                var gradient = torch.empty(shape, a.dtype, a.device);
                var blocks = checked((int)((a.numel() + Threads * AtOnce - 1) / (Threads * AtOnce)));
                Kernels.For(a)["distance_backward"].Launch(blocks, Threads, 0, a, b, c, given[0]!.to(ScalarType.Float32), gradient, a.numel());
                return [gradient];
            }, a, b, c);
        }
        return distance.MoveToOuterDisposeScope();
    }
}
