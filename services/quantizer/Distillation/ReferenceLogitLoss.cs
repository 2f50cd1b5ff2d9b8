using Qbb.Recipes;

namespace Qbb.Quantizer.Distillation;

/// <summary>The plain form of <see cref="LogitLoss"/> for one position, in double, with its gradient.</summary>
internal static class ReferenceLogitLoss
{
    /// <param name="loss">Which.</param>
    /// <param name="student">Logits [vocabulary].</param>
    /// <param name="teacher">Logits [vocabulary].</param>
    /// <param name="label">The next token.</param>
    /// <param name="temperature">τ of soft labels.</param>
    /// <returns>The loss and its derivative by each of the student's logits.</returns>
    public static (double Loss, double[] Gradient) Of(DistillationLoss loss, double[] student, double[] teacher, int label, double temperature)
    {
        var count = student.Length;
        var gradient = new double[count];
        var sum = 0.0;
        if (loss is DistillationLoss.KdMse or DistillationLoss.KdMseSwap)
        {
            for (var k = 0; k < count; k++)
            {
                var difference = student[k] - teacher[k];
                sum += difference * difference / count;
                gradient[k] = 2 * difference / count;
            }
            return (sum, gradient);
        }
        if (loss == DistillationLoss.Ce)
        {
            var predicted = Softmax(student, 1);
            for (var k = 0; k < count; k++)
                gradient[k] = predicted[k] - (k == label ? 1 : 0);
            return (-Math.Log(predicted[label]), gradient);
        }
        var (q, p) = (Softmax(student, temperature), Softmax(teacher, temperature));
        for (var k = 0; k < count; k++)
        {
            sum += temperature * temperature * p[k] * Math.Log(p[k] / q[k]);
            gradient[k] = temperature * (q[k] - p[k]);
        }
        return (sum, gradient);
    }

    private static double[] Softmax(double[] logits, double temperature)
    {
        var most = logits.Max();
        var powers = logits.Select(logit => Math.Exp((logit - most) / temperature)).ToArray();
        var total = powers.Sum();
        return [.. powers.Select(power => power / total)];
    }
}
