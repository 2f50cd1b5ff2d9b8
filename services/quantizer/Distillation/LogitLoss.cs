using Qbb.Recipes;
using F = TorchSharp.torch.nn.functional;

namespace Qbb.Quantizer.Distillation;

/// <summary>The losses of some positions, summed over them. Logits are widened to fp32 first.</summary>
internal static class LogitLoss
{
    /// <param name="loss">Which.</param>
    /// <param name="student">[positions, vocabulary]</param>
    /// <param name="teacher">The same, without gradients; null for hard labels.</param>
    /// <param name="labels">i64 [positions]</param>
    /// <param name="temperature">τ of soft labels.</param>
    /// <param name="isRoot">Whether backward starts at the result itself, as in <see cref="ChunkedLoss"/>.</param>
    public static Tensor Sum(DistillationLoss loss, Tensor student, Tensor? teacher, Tensor labels, double temperature = 1, bool isRoot = false) => loss switch
    {
        DistillationLoss.Ce => F.cross_entropy(Wide(student), labels, reduction: TorchSharp.torch.nn.Reduction.Sum),
        DistillationLoss.Kd when FusedDivergence.Serves(student, teacher!) => FusedDivergence.Sum(student, teacher!, temperature, isRoot),
        DistillationLoss.Kd => SoftLabels(Wide(student), Wide(teacher!), temperature),
        _ => (Wide(student) - Wide(teacher!)).square().mean([-1]).sum(),
    };

    private static Tensor SoftLabels(Tensor student, Tensor teacher, double temperature)
    {
        if (temperature != 1)
            (student, teacher) = (student / temperature, teacher / temperature);
        var expected = F.log_softmax(teacher, -1);
        return (expected.exp() * (expected - F.log_softmax(student, -1))).sum() * (temperature * temperature);
    }

    private static Tensor Wide(Tensor x) => x.dtype == ScalarType.Float64 ? x : x.to(ScalarType.Float32);
}
