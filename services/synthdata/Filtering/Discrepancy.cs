using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Recipes;
using Qbb.Synthdata.Data;
using F = TorchSharp.torch.nn.functional;

namespace Qbb.Synthdata.Filtering;

/// <summary>
/// Discrepancy of a student from its teacher on whole sequences. Both run over all positions at once; logits are made for a chunk of
/// positions at a time, so that [positions, vocabulary] is never in memory.
/// </summary>
/// <param name="teacher">The model that the student is to follow.</param>
/// <param name="student">A model of the same shape.</param>
/// <param name="measure">What is measured at a position.</param>
public sealed class Discrepancy(Transformer teacher, Transformer student, Measure measure)
{
    /// <summary>Scores some sequences.</summary>
    /// <param name="batch">The sequences; what fills them up counts for nothing.</param>
    /// <returns>Per sequence the mean over its positions.</returns>
    /// <exception cref="InvalidInputException">A discrepancy is not a number.</exception>
    public double[] Score(TokenBatch batch)
    {
        using var grad = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        // Fill-up stands behind the sequence, where no position of it looks.
        var ids = torch.tensor(batch.Tokens, batch.Count, batch.Width);
        var taught = teacher.hidden(ids).flatten(0, 1);
        var learned = student.hidden(ids).flatten(0, 1);
        var sums = new double[batch.Count];
        foreach (var (start, length) in PositionChunks.Of(batch.Tokens.Length, teacher.Config.VocabularySize))
        {
            var values = AtPositions(taught, learned, start, length);
            for (var i = 0; i < values.Length; i++)
            {
                var (row, position) = Math.DivRem((int)start + i, batch.Width);
                if (position < batch.Lengths[row])
                    sums[row] += values[i];
            }
        }
        for (var row = 0; row < sums.Length; row++)
        {
            if (!double.IsFinite(sums[row]))
                throw new InvalidInputException(
                    $"the discrepancy of sequence {batch.Indices[row]} is not a number; "
                    + "the weights of teacher or student are damaged or too large for the type of calculation");
            sums[row] /= batch.Lengths[row];
        }
        return sums;
    }

    private float[] AtPositions(Tensor taught, Tensor learned, long start, long length)
    {
        using var scope = torch.NewDisposeScope();
        var truth = teacher.head(taught.narrow(0, start, length)).to(ScalarType.Float32);
        var guess = student.head(learned.narrow(0, start, length)).to(ScalarType.Float32, teacher.Device);
        if (measure == Measure.Mse)
            return (truth - guess).square().mean([1]).ToArray<float>();
        var logTruth = F.log_softmax(truth, -1);
        return (logTruth.exp() * (logTruth - F.log_softmax(guess, -1))).sum(1).ToArray<float>();
    }
}
