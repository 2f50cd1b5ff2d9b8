using System.Numerics;

namespace Qbb.Models.Generation;

/// <summary>
/// Draws one token for every row of a batch where the logits are: <see cref="Sampler"/>, its plain reference, would have to bring rows ×
/// vocabulary numbers to the host for every token. Probabilities are summed as whole numbers, so that a row's token depends neither on the
/// order in which a device adds nor on other rows; it is that of <see cref="Sampler"/> but for draws that fall on a rounding error.
/// </summary>
/// <param name="options">How to choose.</param>
public sealed class BatchSampler(GenerationOptions options)
{
    /// <param name="logits">[rows, vocabulary]</param>
    /// <param name="uniforms">Per row a number in [0, 1).</param>
    /// <returns>Per row its token.</returns>
    /// <exception cref="InvalidInputException">The logits are not numbers.</exception>
    public long[] Next(Tensor logits, double[] uniforms)
    {
        using var scope = torch.NewDisposeScope();
        var tokens = FusedDraw.Serves(logits, options)
            ? FusedDraw.Tokens(logits, torch.tensor(uniforms).to(logits.device), options.Temperature, Unit(logits.size(1))).ToArray<long>()
            : Plain(logits.to(ScalarType.Float32), uniforms);
        return Array.IndexOf(tokens, -1) < 0
            ? tokens
            : throw NotNumbers();
    }

    /// <summary>
    /// The whole number that stands for the likeliest token's probability: a row of the largest must not overflow, 2^62 in all.
    /// </summary>
    internal static double Unit(long vocabulary) => Math.ScaleB(1, 62 - (BitOperations.Log2((ulong)vocabulary) + 1));

    private long[] Plain(Tensor logits, double[] uniforms)
    {
        var best = logits.amax([1], keepdim: true);
        var usable = best.isfinite();
        var drawn = options.Temperature == 0 ? logits.argmax(1, keepdim: true) : Draw(logits.sub(best), usable, uniforms);
        return drawn.masked_fill(usable.logical_not(), -1).ToArray<long>();
    }

    internal static InvalidInputException NotNumbers() =>
        new("the model gave logits that are not numbers; its weights are damaged or too large for the type of calculation");

    // The row's share of "everything" is cut at the uniform number; relative is [rows, vocabulary], the likeliest token's 0.
    private Tensor Draw(Tensor relative, Tensor usable, double[] uniforms)
    {
        var vocabulary = relative.size(1);
        var shares = relative.div(options.Temperature).exp().masked_fill(usable.logical_not(), 1);
        var weights = shares.mul(Unit(vocabulary)).to(ScalarType.Int64);
        Tensor? order = null;
        var few = options.TopK > 0 && options.TopK < vocabulary;
        if (few || options.TopP < 1 || options.MinP > 0)
            (weights, order) = weights.sort(1, descending: true);
        if (few)
            weights = weights.narrow(1, 0, options.TopK);
        var sums = weights.cumsum(1);
        var total = sums.narrow(1, sums.size(1) - 1, 1);
        if (options.TopP < 1)
            total = sums.gather(1, torch.searchsorted(sums, total.to(ScalarType.Float64).mul(options.TopP).to(ScalarType.Int64)));
        if (options.MinP > 0)
        {
            var kept = weights.ge(weights.narrow(1, 0, 1).to(ScalarType.Float64).mul(options.MinP)).sum([1], keepdim: true);
            total = total.minimum(sums.gather(1, kept.sub(1)));
        }
        var uniform = torch.tensor(uniforms, uniforms.Length, 1).to(relative.device);
        // The product may round up to the total itself.
        var target = total.to(ScalarType.Float64).mul(uniform).to(ScalarType.Int64).minimum(total.sub(1));
        var place = torch.searchsorted(sums, target, right: true);
        return order is null ? place : order.gather(1, place);
    }
}
