using Qbb.Recipes;

namespace Qbb.Quantizer.Distillation;

/// <summary>How the student does on the held-out sequences, with its scales in fp16 as they will be stored.</summary>
/// <param name="Kl">Mean KL(teacher ‖ student) of the next token, nats per position.</param>
/// <param name="CrossEntropy">Mean −log of the probability of the next token, nats per position.</param>
public sealed record HeldOutScore(double Kl, double CrossEntropy)
{
    /// <summary>
    /// The figure that decides for a loss: the divergence, which says what the student lost whatever was minimised, or the cross-entropy
    /// where the labels are hard, as the student then follows the text and not the teacher.
    /// </summary>
    public double For(DistillationLoss loss) => loss == DistillationLoss.Ce ? CrossEntropy : Kl;
}
