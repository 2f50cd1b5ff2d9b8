using Qbb.Models.Decoder;

namespace Qbb.Quantizer.Distillation;

/// <summary>
/// The teacher's last hidden states, from which its logits are one product away: a cache of them is as good as one of logits and smaller by
/// the vocabulary over the width. Kept where the teacher is until the budget is spent; later sequences are calculated each time.
/// </summary>
internal sealed class TeacherStates(Transformer teacher, long budget) : IDisposable
{
    private readonly Dictionary<int, Tensor> _kept = [];
    private long _bytes;

    /// <summary>Sequences that are kept.</summary>
    public int Kept => _kept.Count;

    /// <summary>What the teacher's head reads at all positions of a batch, [positions, d], without gradients.</summary>
    public Tensor Of(TokenBatch batch)
    {
        using var scope = torch.NewDisposeScope();
        using var off = torch.no_grad();
        var rows = new Tensor[batch.Indices.Count];
        for (var row = 0; row < rows.Length; row++)
        {
            if (_kept.TryGetValue(batch.Indices[row], out var kept))
                rows[row] = kept.view(kept.shape);
        }
        var missing = Enumerable.Range(0, rows.Length).Where(row => rows[row] is null).ToArray();
        // On the CPU one by one: a state then depends on its sequence alone, not on when it was calculated and with which neighbours.
        foreach (var together in missing.Chunk(teacher.Device.type == DeviceType.CPU ? 1 : Math.Max(1, missing.Length)))
            Calculate(batch, together, rows);
        return (rows.Length == 1 ? rows[0] : torch.cat(rows)).MoveToOuterDisposeScope();
    }

    public void Dispose()
    {
        foreach (var tensor in _kept.Values)
            tensor.Dispose();
        _kept.Clear();
    }

    private void Calculate(TokenBatch batch, int[] together, Tensor[] rows)
    {
        var longest = together.Max(row => batch.Lengths[row]);
        var ids = torch.cat([.. together.Select(row => batch.Ids.narrow(0, row, 1).narrow(1, 0, longest))]);
        var hidden = teacher.hidden(ids);
        for (var k = 0; k < together.Length; k++)
        {
            var row = together[k];
            rows[row] = hidden.select(0, k).narrow(0, 0, batch.Lengths[row]);
            Keep(batch.Indices[row], rows[row]);
        }
    }

    private void Keep(int index, Tensor state)
    {
        var bytes = state.numel() * state.dtype.ElementSize();
        if (_bytes + bytes > budget || _kept.ContainsKey(index))
            return;
        _bytes += bytes;
        _kept[index] = state.clone().DetachFromDisposeScope();
    }
}
