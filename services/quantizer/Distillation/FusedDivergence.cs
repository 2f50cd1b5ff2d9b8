using Qbb.Cuda;

namespace Qbb.Quantizer.Distillation;

/// <summary>
/// τ²·KL(teacher ‖ student) of some positions on a GPU: logits are read where they lie, in their own type, and the gradient is made in
/// the same launch. The plain form is <see cref="ReferenceLogitLoss"/>.
/// </summary>
internal static class FusedDivergence
{
    private const int Threads = 512;

    internal static readonly ElementKernels Kernels = new(typeof(FusedDivergence).Assembly, "divergence.cu");

    /// <summary>Whether it can take the place of the plain form.</summary>
    public static bool Serves(Tensor student, Tensor teacher) =>
        ElementKernels.Serve(student) && teacher.dtype == student.dtype && student.numel() > 0;

    /// <param name="student">[positions, vocabulary]</param>
    /// <param name="teacher">The same, without gradients.</param>
    /// <param name="temperature">τ</param>
    /// <param name="isRoot">Whether backward starts at the sum itself: its gradient is 1, and no pass over the logits multiplies by it.</param>
    /// <returns>The sum over positions, f32, of no dimensions.</returns>
    public static Tensor Sum(Tensor student, Tensor teacher, double temperature, bool isRoot = false)
    {
        using var scope = torch.NewDisposeScope();
        var record = torch.is_grad_enabled() && student.requires_grad;
        Tensor total;
        Tensor? gradient;
        using (torch.no_grad())
        {
            var (positions, vocabulary) = (student.size(0), student.size(1));
            var (s, t) = (student.contiguous(), teacher.contiguous());
            var losses = torch.empty([positions], ScalarType.Float32, s.device);
            gradient = record ? torch.empty(s.shape, s.dtype, s.device) : null;
            Kernels.For(s)["divergence"].Launch(
                checked((int)positions), Threads, 0, s, t, losses, gradient, checked((int)vocabulary), (float)(1 / temperature));
            total = losses.sum();
        }
        if (gradient is not null)
        {
            var kept = Gradients.Save(gradient);
            Gradients.Record([student], [total], given => [isRoot ? kept : kept * given[0]!.to(kept.dtype)], kept);
        }
        return total.MoveToOuterDisposeScope();
    }
}
