namespace Qbb.Models.Decoder;

/// <summary>
/// Keys and values of the tokens that were seen, for each block [batch, key/value heads, capacity, head], allocated once.
/// </summary>
/// <remarks>
/// Logits of a pass with a cache are those of the last tokens of a full pass over all tokens so far. Where rotary frequencies depend on
/// the sequence's length (dynamic beyond max_position_embeddings, longrope at its one switch), growing longer changes the past as
/// well: the decoder then runs the whole sequence again and fills the cache anew. With dynamic scaling that is every step beyond the
/// context of training.
/// </remarks>
public sealed class KvCache : IDisposable
{
    private readonly Tensor[] _keys;
    private readonly Tensor[] _values;
    private readonly List<long[]> _tokens;

    /// <param name="config">The decoder.</param>
    /// <param name="batch">Sequences.</param>
    /// <param name="capacity">Most tokens of a sequence, padding counted.</param>
    /// <param name="device">The decoder's device.</param>
    /// <param name="dtype">The decoder's type.</param>
    public KvCache(DecoderConfig config, int batch, int capacity, Device device, ScalarType dtype)
    {
        Capacity = capacity;
        long[] shape = [batch, config.KeyValueHeadCount, capacity, config.HeadDimension];
        _keys = [.. Enumerable.Range(0, config.BlockCount).Select(_ => torch.empty(shape, dtype, device).DetachFromDisposeScope())];
        _values = [.. Enumerable.Range(0, config.BlockCount).Select(_ => torch.empty(shape, dtype, device).DetachFromDisposeScope())];
        _tokens = [.. Enumerable.Range(0, batch).Select(_ => new long[capacity])];
    }

    private KvCache(int capacity, int length, IReadOnlyList<int>? padding, Tensor[] keys, Tensor[] values, List<long[]> tokens) =>
        (Capacity, Length, Padding, _keys, _values, _tokens) = (capacity, length, padding, keys, values, tokens);

    public int Batch => _tokens.Count;

    public int Capacity { get; }

    /// <summary>Tokens per row so far, padding counted.</summary>
    public int Length { get; private set; }

    /// <summary>Leading tokens of each row that only fill it up, as given with the first tokens; null for none.</summary>
    public IReadOnlyList<int>? Padding { get; private set; }

    /// <summary>Forgets all tokens.</summary>
    public void Reset() => (Length, Padding) = (0, null);

    /// <summary>
    /// Forgets the tokens from a length on. Where frequencies depend on the length (see the remarks) and the shorter sequence has others, reset instead.
    /// </summary>
    public void Truncate(int length)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, Length);
        Length = length;
    }

    /// <summary>Another cache with the same tokens.</summary>
    /// <param name="capacity">Its own, at least <see cref="Length"/>.</param>
    public KvCache Copy(int capacity)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(capacity, Length);
        using var scope = torch.NewDisposeScope();
        return new(capacity, Length, Padding, [.. _keys.Select(Copied)], [.. _values.Select(Copied)], [.. _tokens.Select(row => (long[])[.. row.AsSpan(0, Length), .. new long[capacity - Length]])]);

        Tensor Copied(Tensor all)
        {
            var copy = torch.empty([all.size(0), all.size(1), capacity, all.size(3)], all.dtype, all.device).DetachFromDisposeScope();
            copy.narrow(2, 0, Length).copy_(all.narrow(2, 0, Length));
            return copy;
        }
    }

    /// <summary>Keeps only the given rows, in the given order: finished sequences need no more work.</summary>
    public void Select(IReadOnlyList<int> rows)
    {
        using var scope = torch.NewDisposeScope();
        var index = torch.tensor(rows.Select(row => (long)row).ToArray()).to(_keys[0].device);
        foreach (var blocks in new[] { _keys, _values })
        {
            for (var block = 0; block < blocks.Length; block++)
            {
                var kept = blocks[block].index_select(0, index).DetachFromDisposeScope();
                blocks[block].Dispose();
                blocks[block] = kept;
            }
        }
        var tokens = rows.Select(row => _tokens[row]).ToList();
        _tokens.Clear();
        _tokens.AddRange(tokens);
        Padding = Padding is null ? null : [.. rows.Select(row => Padding[row])];
    }

    public void Dispose()
    {
        foreach (var tensor in _keys.Concat(_values))
            tensor.Dispose();
    }

    /// <summary>Checks that the tokens fit; sets the padding with the first ones.</summary>
    internal void Prepare(long batch, long count, IReadOnlyList<int>? padding)
    {
        if (batch != Batch)
            throw new ArgumentException($"the cache has {Batch} rows, not {batch}");
        if (Length + count > Capacity)
            throw new InvalidInputException($"{Length + count} tokens do not fit the cache of {Capacity}; make it larger or generate fewer");
        if (Length > 0 && padding is not null)
            throw new ArgumentException("padding goes with the first tokens only");
        if (Length == 0)
            Padding = padding;
    }

    /// <summary>Writes the keys and values of this pass's tokens and gives all so far.</summary>
    /// <param name="block">Which block.</param>
    /// <param name="keys">[batch, key/value heads, count, head]</param>
    /// <param name="values">As keys.</param>
    /// <returns>Views [batch, key/value heads, length + count, head].</returns>
    internal (Tensor Keys, Tensor Values) Append(int block, Tensor keys, Tensor values)
    {
        var count = keys.size(2);
        using (torch.no_grad())
        {
            using var scope = torch.NewDisposeScope();
            _keys[block].narrow(2, Length, count).copy_(keys);
            _values[block].narrow(2, Length, count).copy_(values);
        }
        return Seen(block, count);
    }

    /// <summary>
    /// The memory of a block as a whole: [batch, key/value heads, capacity, head] each, of which <see cref="Length"/> places are taken.
    /// </summary>
    internal (Tensor Keys, Tensor Values) Whole(int block) => (_keys[block], _values[block]);

    /// <summary>The places that are taken and the next ones: views [batch, key/value heads, length + count, head].</summary>
    internal (Tensor Keys, Tensor Values) Seen(int block, long count) =>
        (_keys[block].narrow(2, 0, Length + count), _values[block].narrow(2, 0, Length + count));

    /// <summary>After all blocks: the tokens are part of the past.</summary>
    internal void Advance(ReadOnlySpan<long> tokens)
    {
        var count = tokens.Length / Batch;
        for (var row = 0; row < Batch; row++)
            tokens.Slice(row * count, count).CopyTo(_tokens[row].AsSpan(Length));
        Length += count;
    }

    /// <summary>All tokens so far, and new ones behind them, row by row.</summary>
    internal long[] TokensWith(ReadOnlySpan<long> added)
    {
        var count = added.Length / Batch;
        var all = new long[(Length + count) * Batch];
        for (var row = 0; row < Batch; row++)
        {
            _tokens[row].AsSpan(0, Length).CopyTo(all.AsSpan(row * (Length + count)));
            added.Slice(row * count, count).CopyTo(all.AsSpan(row * (Length + count) + Length));
        }
        return all;
    }
}
