namespace Qbb.Quantizer.Distillation;

/// <summary>
/// A loss over logits that never exist all at once: [positions, vocabulary] is many times the memory of everything else. Some positions at
/// a time their logits, loss and gradient with respect to the hidden state are calculated, and only that gradient [positions, d] is kept
/// for backward.
/// </summary>
internal static class ChunkedLoss
{
    /// <summary>Elements of logits that are in memory at once, as a rule: near the cache on a CPU, enough to fill a GPU.</summary>
    public static long PositionsAtOnce(int vocabulary, Device device) =>
        Math.Max(1, (device.type == DeviceType.CPU ? 1L << 22 : 1L << 26) / vocabulary);

    /// <summary>Sum over chunks of a loss.</summary>
    /// <param name="hidden">What the head reads, [positions, d].</param>
    /// <param name="chunk">Positions at a time.</param>
    /// <param name="lossOf">From hidden states [count, d], the first position and count to a loss of no dimensions, at which backward starts.</param>
    /// <returns>A tensor of no dimensions; gradients flow to <paramref name="hidden"/>.</returns>
    public static Tensor Sum(Tensor hidden, long chunk, Func<Tensor, long, long, Tensor> lossOf)
    {
        using var scope = torch.NewDisposeScope();
        var positions = hidden.size(0);
        var wanted = torch.is_grad_enabled() && hidden.requires_grad;
        var gradient = wanted ? torch.empty_like(hidden.detach()).DetachFromDisposeScope() : null;
        var total = torch.zeros([], hidden.dtype == ScalarType.Float64 ? ScalarType.Float64 : ScalarType.Float32, hidden.device);
        for (long first = 0; first < positions; first += chunk)
        {
            using var inner = torch.NewDisposeScope();
            var count = Math.Min(chunk, positions - first);
            var part = hidden.detach().narrow(0, first, count).requires_grad_(wanted);
            var loss = lossOf(part, first, count);
            using var off = torch.no_grad();
            total.add_(loss.detach());
            gradient?.narrow(0, first, count).copy_(Gradients.Of(loss, [part])[0]!);
        }
        if (gradient is not null)
            Gradients.Record([hidden], [total], given => [gradient * given[0]!.to(gradient.dtype)], gradient);
        return total.MoveToOuterDisposeScope();
    }
}
