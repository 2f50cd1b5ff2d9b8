using Qbb.Models.Decoder;
using Qbb.Quantizer.Calibration;
using Qbb.Recipes;

namespace Qbb.Quantizer.Distillation;

/// <summary>Scores the student as it is now on sequences that it is not trained on.</summary>
internal sealed class HeldOutScorer(
    Transformer student, Transformer teacher, TeacherStates states, ITokenSequences data, IReadOnlyList<int> heldOut, int batch)
{
    public HeldOutScore Run(CancellationToken cancellation)
    {
        using var off = torch.no_grad();
        var chunk = ChunkedLoss.PositionsAtOnce(student.Config.VocabularySize, student.Device);
        double divergence = 0, entropy = 0;
        var positions = 0L;
        foreach (var indices in heldOut.Chunk(batch))
        {
            cancellation.ThrowIfCancellationRequested();
            using var scope = torch.NewDisposeScope();
            var tokens = new TokenBatch(data, indices);
            var hidden = tokens.Select(student.hidden(tokens.Ids));
            var taught = states.Of(tokens);
            var labels = tokens.Labels.to(student.Device);
            positions += tokens.Positions;
            divergence += ChunkedLoss.Sum(hidden, chunk, (part, first, count) =>
            {
                var logits = student.head(part);
                entropy += LogitLoss.Sum(DistillationLoss.Ce, logits, null, labels.narrow(0, first, count)).ToDouble();
                return LogitLoss.Sum(DistillationLoss.Kd, logits, teacher.head(taught.narrow(0, first, count)), labels);
            }).ToDouble();
        }
        return new HeldOutScore(divergence / positions, entropy / positions);
    }
}

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
