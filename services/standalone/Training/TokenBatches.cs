using Qbb.Torch;

namespace Qbb.Standalone.Training;

/// <summary>Random sequences of a token stream: every batch is a function of the seed and the step alone.</summary>
public sealed class TokenBatches(int[] tokens, int context, int batch, ulong seed)
{
    /// <summary>Inputs and labels, [batch, context] each; labels are the inputs one place later.</summary>
    public (Tensor Inputs, Tensor Labels) At(int step)
    {
        var random = new Random(HashCode(step));
        var inputs = new long[batch * context];
        var labels = new long[batch * context];
        for (var row = 0; row < batch; row++)
        {
            var start = random.Next(tokens.Length - context);
            for (var k = 0; k < context; k++)
            {
                inputs[row * context + k] = tokens[start + k];
                labels[row * context + k] = tokens[start + k + 1];
            }
        }
        return (torch.tensor(inputs, batch, context), torch.tensor(labels, batch, context));
    }

    // SplitMix64 of seed and step: neighbouring steps must not start neighbouring streams.
    private int HashCode(int step)
    {
        var x = seed * 0x9E3779B97F4A7C15 + (ulong)step + 1;
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
        return (int)(x ^ (x >> 31)) & int.MaxValue;
    }
}
