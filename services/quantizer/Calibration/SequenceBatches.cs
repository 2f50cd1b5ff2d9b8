using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Distillation;

namespace Qbb.Quantizer.Calibration;

/// <summary>Calibration sequences in batches of equal length, so that nothing needs filling up.</summary>
internal sealed class SequenceBatches
{
    private readonly ITokenSequences _sequences;
    private readonly List<int[]> _batches = [];

    /// <param name="sequences">All there are.</param>
    /// <param name="count">How many of them to use, spread evenly; null for all.</param>
    /// <param name="tokensPerBatch">A longer sequence makes a batch of its own.</param>
    /// <exception cref="InvalidInputException">There are none, or fewer than requested.</exception>
    public SequenceBatches(ITokenSequences sequences, int? count, int tokensPerBatch)
    {
        var (used, all) = (count ?? sequences.Count, sequences.Count);
        if (all < 1)
            throw new InvalidInputException("the calibration data hold no sequence");
        if (used < 1 || used > all)
            throw new InvalidInputException($"{used} calibration sequences requested, but there are only {all}", $"give 1 to {all}, or more data");
        _sequences = sequences;
        Sequences = used;
        var chosen = EvenSpread.Of(used, all);
        foreach (var group in chosen.GroupBy(sequences.LengthOf).OrderByDescending(group => group.Key))
        {
            Tokens += (long)group.Key * group.Count();
            _batches.AddRange(group.Chunk(Math.Max(1, tokensPerBatch / group.Key)));
        }
    }

    /// <summary>Batches.</summary>
    public int Count => _batches.Count;

    /// <summary>Sequences in use.</summary>
    public int Sequences { get; }

    /// <summary>Their tokens.</summary>
    public long Tokens { get; }

    /// <summary>Identity of the tokens in use.</summary>
    public string Digest => $"{_sequences.Digest}/{Sequences}";

    /// <summary>Rows of one batch.</summary>
    public int RowsOf(int batch) => _batches[batch].Length;

    /// <summary>Tokens of each of its rows.</summary>
    public int LengthOf(int batch) => _sequences.LengthOf(_batches[batch][0]);

    /// <summary>The tokens of one batch, i64 [rows, length].</summary>
    public Tensor Read(int batch)
    {
        var (rows, length) = (_batches[batch], LengthOf(batch));
        var ids = new int[rows.Length * length];
        for (var row = 0; row < rows.Length; row++)
            _sequences.Read(rows[row], ids.AsSpan(row * length, length));
        return torch.tensor(Array.ConvertAll(ids, id => (long)id), rows.Length, length);
    }
}
