using Qbb.Models.Generation;

namespace Qbb.Bench.Training;

/// <summary>Random sequences of a token stream: every batch is a function of the seed and the step alone.</summary>
public sealed class TokenBatches(int[] tokens, int context, int batch, ulong seed)
{
    /// <summary>Inputs and labels, [batch, context] each; labels are the inputs one place later.</summary>
    public (Tensor Inputs, Tensor Labels) At(int step)
    {
        var random = SplitMix64.For(seed, (ulong)step);
        var inputs = new long[batch * context];
        var labels = new long[batch * context];
        for (var row = 0; row < batch; row++)
        {
            var start = (int)(random.NextUniform() * (tokens.Length - context));
            for (var k = 0; k < context; k++)
            {
                inputs[row * context + k] = tokens[start + k];
                labels[row * context + k] = tokens[start + k + 1];
            }
        }
        return (torch.tensor(inputs, batch, context), torch.tensor(labels, batch, context));
    }
}
