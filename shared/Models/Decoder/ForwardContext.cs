namespace Qbb.Models.Decoder;

/// <summary>
/// What all blocks share during one forward pass: where the tokens stand, rotary tables, masks (made once per window), the cache.
/// Two models of the same shape may share one context without a cache, as when teacher and student blocks take turns.
/// </summary>
public sealed class ForwardContext : IDisposable
{
    private readonly Dictionary<(int Window, long Query, long Count, long Key, long Keys), Tensor> _masks = [];
    private readonly Device _device;
    private readonly ScalarType _dtype;
    private readonly Tensor? _padding;

    internal ForwardContext(
        long batch, long count, KvCache? cache, IReadOnlyList<int>? padding, RopeTable? rope, RopeTable? local, Device device, ScalarType dtype)
    {
        (Batch, Count, Cache, Padding, _device, _dtype) = (batch, count, cache, padding, device, dtype);
        Past = cache?.Length ?? 0;
        using var scope = torch.NewDisposeScope();
        if (padding is not null)
            _padding = torch.tensor(padding.Select(p => (long)p).ToArray(), batch, 1, 1).to(device).DetachFromDisposeScope();
        Rotation = Kept(rope);
        LocalRotation = Kept(local);

        (Tensor Cos, Tensor Sin)? Kept(RopeTable? table)
        {
            if (table is null)
                return null;
            var (cos, sin) = Rotations(table);
            return (cos.unsqueeze(-2).DetachFromDisposeScope(), sin.unsqueeze(-2).DetachFromDisposeScope());
        }
    }

    /// <summary>Rows.</summary>
    public long Batch { get; }

    /// <summary>Tokens per row in this pass.</summary>
    public long Count { get; }

    /// <summary>Tokens per row before this pass, in the cache.</summary>
    public long Past { get; }

    /// <summary>Per row how many of its first tokens only fill it up (left padding); null for none.</summary>
    public IReadOnlyList<int>? Padding { get; }

    internal KvCache? Cache { get; }

    /// <summary>[count, 1, pairs], or [batch, count, 1, pairs] with padding; null without rotary embedding.</summary>
    internal (Tensor Cos, Tensor Sin)? Rotation { get; }

    /// <summary>The same for blocks with a sliding window, where they have a rotary embedding of their own.</summary>
    internal (Tensor Cos, Tensor Sin)? LocalRotation { get; }

    internal bool IsPadded => _padding is not null;

    /// <summary>
    /// An additive mask (0 or −∞) for the queries [query, query + count) and keys [key, key + keys) of the whole sequence. A token
    /// sees itself and its past within the window, without padding; padding sees itself, so that no row of scores is all −∞.
    /// </summary>
    /// <param name="window">0 for all of the past.</param>
    /// <returns>[count, keys], or [batch, count, keys] with padding; owned by the context.</returns>
    internal Tensor Mask(int window, long query, long count, long key, long keys)
    {
        // Without padding only distances matter, so that all chunks of a long sequence share one mask.
        var place = IsPadded ? (window, query, count, key, keys) : (window, query - key, count, 0, keys);
        if (_masks.TryGetValue(place, out var mask))
            return mask;
        using var scope = torch.NewDisposeScope();
        var rows = torch.arange(query, query + count, 1, ScalarType.Int64, _device).view(count, 1);
        var columns = torch.arange(key, key + keys, 1, ScalarType.Int64, _device).view(1, keys);
        var hidden = columns.gt(rows);
        if (window > 0)
            hidden = hidden.logical_or(columns.le(rows - window));
        if (_padding is not null)
            hidden = hidden.logical_or(columns.lt(_padding).logical_and(columns.ne(rows)));
        mask = torch.zeros([.. hidden.shape], _dtype, _device).masked_fill(hidden, double.NegativeInfinity).DetachFromDisposeScope();
        return _masks[place] = mask;
    }

    /// <summary>Positions of this pass's tokens in their sequences, row by row; padding counts as position 0.</summary>
    internal long[] Positions()
    {
        var positions = new long[Batch * Count];
        for (var row = 0; row < Batch; row++)
        {
            for (var column = 0; column < Count; column++)
                positions[row * Count + column] = Math.Max(0, Past + column - (Padding?[row] ?? 0));
        }
        return positions;
    }

    public void Dispose()
    {
        foreach (var mask in _masks.Values)
            mask.Dispose();
        _masks.Clear();
        _padding?.Dispose();
        foreach (var rotation in new[] { Rotation, LocalRotation })
        {
            rotation?.Cos.Dispose();
            rotation?.Sin.Dispose();
        }
    }

    private (Tensor Cos, Tensor Sin) Rotations(RopeTable rope)
    {
        if (Padding is null)
            return rope.Range(Past, Count, Past + Count);
        // A row's frequencies follow from its own length, not from its neighbours'.
        var positions = Positions();
        var rows = Enumerable.Range(0, (int)Batch)
            .Select(row => rope.Rows(positions[(int)(row * Count)..(int)((row + 1) * Count)], Past + Count - Padding[row]))
            .ToArray();
        return (torch.stack([.. rows.Select(row => row.Cos)]), torch.stack([.. rows.Select(row => row.Sin)]));
    }
}
