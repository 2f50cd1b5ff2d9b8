using Qbb.Cuda;

namespace Qbb.Models.Decoder.Kernels;

/// <summary>RMS norm in one pass, with the addition that stands before it where there is one. Its weight is not trained.</summary>
internal static class FusedNorm
{
    private const int MostThreads = 512;

    /// <summary>Whether it can take the place of the plain form.</summary>
    public static bool Serves(Tensor x, Tensor weight) =>
        ElementKernels.Serve(x) && weight.dtype == x.dtype && x.size(-1) == weight.numel() && x.size(-1) % RowView.Step == 0
        && x.numel() > 0 && !(weight.requires_grad && torch.is_grad_enabled());

    /// <param name="x">[…, size]</param>
    /// <param name="branch">What is added to x first, or null.</param>
    /// <param name="weight">[size]</param>
    /// <param name="epsilon">Added to the mean square.</param>
    /// <param name="plusOne">Multiply by 1 + weight.</param>
    /// <returns>x + branch (x itself without one) and its norm.</returns>
    public static (Tensor Sum, Tensor Normed) Apply(Tensor x, Tensor? branch, Tensor weight, double epsilon, bool plusOne)
    {
        using var scope = torch.NewDisposeScope();
        var record = DecoderKernels.Record(x, branch);
        var (size, plus) = ((int)weight.numel(), plusOne ? 1 : 0);
        var rows = x.numel() / size;
        Tensor sum, normed;
        Tensor? inverse;
        using (torch.no_grad())
        {
            var (whole, added) = (x.contiguous(), branch?.contiguous());
            normed = torch.empty(x.shape, x.dtype, x.device);
            sum = added is null ? whole : torch.empty(x.shape, x.dtype, x.device);
            inverse = record ? torch.empty([rows], ScalarType.Float32, x.device) : null;
            DecoderKernels.Named("rms_norm", x).Launch(
                (int)rows, Threads(size), 0, whole, added, weight, added is null ? null : sum, normed, inverse, size, (float)epsilon, plus);
        }
        if (record)
            Join(x, branch, sum, normed, weight, inverse!, plus);
        normed.MoveToOuterDisposeScope();
        return (branch is null ? x : sum.MoveToOuterDisposeScope(), normed);
    }

    private static void Join(Tensor x, Tensor? branch, Tensor sum, Tensor normed, Tensor weight, Tensor inverse, int plus)
    {
        var (kept, factors) = (Gradients.Save(sum), Gradients.Save(inverse));
        var size = (int)weight.numel();
        if (branch is null)
        {
            Gradients.Record([x], [normed], gradients => [Backward(gradients[0]!, null)], kept, factors);
            return;
        }
        Gradients.Record([x, branch], [sum, normed], gradients =>
        {
            var through = gradients[1] is { } g ? Backward(g, gradients[0]) : gradients[0];
            return [through, through];
        }, kept, factors);

        Tensor Backward(Tensor g, Tensor? added)
        {
            using var off = torch.no_grad();
            var dx = torch.empty(kept.shape, kept.dtype, kept.device);
            DecoderKernels.Named("rms_norm_backward", kept).Launch(
                (int)(kept.numel() / size), Threads(size), 0, g.contiguous(), kept, weight, factors, added?.contiguous(), dx, size, plus);
            return dx;
        }
    }

    private static int Threads(int size) => Math.Min(MostThreads, (size / RowView.Step + 31) / 32 * 32);
}
