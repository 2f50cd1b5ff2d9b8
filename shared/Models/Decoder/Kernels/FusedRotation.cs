using Qbb.Cuda;

namespace Qbb.Models.Decoder.Kernels;

/// <summary>The rotary embedding in one pass, and in the same pass the new keys and values into the cache.</summary>
internal static class FusedRotation
{
    /// <summary>Whether it can take the place of the plain form for heads [batch, count, heads, head] and cosines […, pairs].</summary>
    public static bool Serves(Tensor x, Tensor cos) =>
        ElementKernels.Serve(x) && cos.dtype == x.dtype && cos.size(-1) % RowView.Step == 0 && x.size(-1) % RowView.Step == 0
        && x.numel() > 0;

    /// <param name="x">[batch, count, heads, head]</param>
    /// <param name="cos">[count, 1, pairs] or [batch, count, 1, pairs]</param>
    /// <param name="sin">As cos.</param>
    /// <returns>As x, contiguous.</returns>
    public static Tensor Apply(Tensor x, Tensor cos, Tensor sin)
    {
        using var scope = torch.NewDisposeScope();
        var y = Turn(x, cos, sin, 1);
        if (DecoderKernels.Record(x))
        {
            var (c, s) = (Gradients.Save(cos), Gradients.Save(sin));
            Gradients.Record([x], [y], gradients => [Turn(gradients[0]!, c, s, -1)], c, s);
        }
        return y.MoveToOuterDisposeScope();
    }

    /// <summary>Rotates queries and keys and puts keys and values behind those that a cache of a block has. Without gradients.</summary>
    /// <param name="queries">[batch, count, heads, head]</param>
    /// <param name="keys">[batch, count, groups, head]</param>
    /// <param name="values">As keys.</param>
    /// <param name="cos">As in <see cref="Apply"/>.</param>
    /// <param name="sin">As cos.</param>
    /// <param name="cachedKeys">[batch, groups, capacity, head]</param>
    /// <param name="cachedValues">As the keys.</param>
    /// <param name="past">Places of the cache that are taken.</param>
    /// <returns>The queries, contiguous.</returns>
    public static Tensor Append(
        Tensor queries, Tensor keys, Tensor values, Tensor cos, Tensor sin, Tensor cachedKeys, Tensor cachedValues, int past)
    {
        using var scope = torch.NewDisposeScope();
        using var off = torch.no_grad();
        var (q, k, v) = (View(queries), View(keys), View(values));
        var (batch, count, heads, head) = ((int)queries.size(0), (int)queries.size(1), (int)queries.size(2), (int)queries.size(3));
        var groups = (int)keys.size(2);
        var pairs = (int)cos.size(-1);
        var y = torch.empty([batch, count, heads, head], queries.dtype, queries.device);
        var units = (long)batch * count * (heads + 2 * groups) * (head / RowView.Step);
        DecoderKernels.ForEach("rotate_append", q.Tensor, units,
            q.Start, q.Row, q.Tensor.stride()[2], k.Start, k.Row, k.Tensor.stride()[2], v.Start, v.Row, v.Tensor.stride()[2],
            cos, sin, y, cachedKeys, cachedValues, (int)(cos.numel() / pairs), count, heads, groups, head, pairs,
            (int)cachedKeys.size(2), past, units);
        return y.MoveToOuterDisposeScope();
    }

    private static Tensor Turn(Tensor x, Tensor cos, Tensor sin, float sign)
    {
        using var scope = torch.NewDisposeScope();
        using var off = torch.no_grad();
        var from = View(x);
        var (heads, head, pairs) = ((int)x.size(2), (int)x.size(3), (int)cos.size(-1));
        var y = torch.empty(x.shape, x.dtype, x.device);
        var units = x.numel() / RowView.Step;
        DecoderKernels.ForEach("rotate", from.Tensor, units,
            from.Start, from.Row, from.Tensor.stride()[2], cos, sin, y, (int)(cos.numel() / pairs), heads, head, pairs, sign, units);
        return y.MoveToOuterDisposeScope();
    }

    // Cloned, not made contiguous: what is contiguous already may begin at an odd address.
    private static RowView View(Tensor x) =>
        (x.stride()[2] % RowView.Step == 0 ? RowView.Of(x, 2) : null) ?? RowView.Of(x.contiguous().clone(), 2)!.Value;
}
