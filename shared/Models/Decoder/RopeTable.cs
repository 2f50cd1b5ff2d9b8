namespace Qbb.Models.Decoder;

/// <summary>Cosines and sines of the rotary embedding on one device, made once and kept. Safe to use from several threads.</summary>
internal sealed class RopeTable(RopeConfig rope, Device device, ScalarType dtype) : IDisposable
{
    /// <summary>Dynamic scaling makes a table per length: more of them are not worth their memory.</summary>
    private const int MostTables = 4;

    private readonly Lock _lock = new();
    private readonly Dictionary<long, (Tensor Cos, Tensor Sin)> _tables = [];

    public RopeConfig Config => rope;

    /// <summary>The rows of positions [first, first + count) in a sequence of that length.</summary>
    /// <returns>Cosines and sines [count, pairs]; the caller's dispose scope owns them.</returns>
    public (Tensor Cos, Tensor Sin) Range(long first, long count, long length)
    {
        lock (_lock)
        {
            var (cos, sin) = Table(first + count, length);
            return (cos.narrow(0, first, count), sin.narrow(0, first, count));
        }
    }

    /// <summary>The rows of any positions in a sequence of that length.</summary>
    public (Tensor Cos, Tensor Sin) Rows(long[] positions, long length)
    {
        lock (_lock)
        {
            var (cos, sin) = Table(positions.Max() + 1, length);
            using var index = torch.tensor(positions).to(device);
            return (cos.index_select(0, index), sin.index_select(0, index));
        }
    }

    public void Dispose()
    {
        foreach (var table in _tables.Values)
            Free(table);
        _tables.Clear();
    }

    private (Tensor Cos, Tensor Sin) Table(long positions, long length)
    {
        var regime = RopeFrequencies.Regime(rope, length);
        if (_tables.TryGetValue(regime, out var table) && table.Cos.size(0) >= positions)
            return table;
        if (table.Cos is not null)
            Free(table);
        else if (_tables.Count == MostTables)
            Dispose();
        // Twice what is asked, so that generating token by token does not make a table per token.
        return _tables[regime] = Make(Math.Max(2 * positions, 64), length);
    }

    private (Tensor Cos, Tensor Sin) Make(long positions, long length)
    {
        var (cos, sin) = RopeFrequencies.Angles(rope, positions, length);
        var pairs = rope.Dimensions / 2;
        return (Place(cos), Place(sin));

        Tensor Place(float[] values)
        {
            using var scope = torch.NewDisposeScope();
            return torch.tensor(values, positions, pairs).to(dtype, device).DetachFromDisposeScope();
        }
    }

    private static void Free((Tensor Cos, Tensor Sin) table)
    {
        table.Cos.Dispose();
        table.Sin.Dispose();
    }
}
