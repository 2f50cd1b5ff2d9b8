using Qbb.Quantizer.Calibration;

namespace Qbb.Quantizer.Distillation;

/// <summary>
/// Some sequences as tensors on the CPU. Shorter ones are filled up at the right, where a causal model's other positions cannot see it.
/// Position t reads tokens 0..t and has token t+1 as its label, so a sequence of L tokens has L − 1 positions.
/// </summary>
internal sealed class TokenBatch
{
    /// <summary>Reads sequences; the tensors belong to the caller's dispose scope.</summary>
    public TokenBatch(ITokenSequences data, IReadOnlyList<int> indices)
    {
        Indices = indices;
        Lengths = [.. indices.Select(index => data.LengthOf(index) - 1)];
        var width = Lengths.Max();
        long[] ids = new long[indices.Count * width], labels = new long[Lengths.Sum()], valid = new long[labels.Length];
        var position = 0;
        for (var row = 0; row < indices.Count; row++)
        {
            var tokens = new int[Lengths[row] + 1];
            data.Read(indices[row], tokens);
            for (var t = 0; t < Lengths[row]; t++, position++)
            {
                ids[row * width + t] = tokens[t];
                labels[position] = tokens[t + 1];
                valid[position] = row * width + t;
            }
        }
        Ids = torch.tensor(ids, indices.Count, width);
        Labels = torch.tensor(labels);
        Valid = labels.Length == ids.Length ? null : torch.tensor(valid);
    }

    /// <summary>A place on a device for the first rows of a batch whose sequences are of one length, and for others like it.</summary>
    public TokenBatch(TokenBatch like, int rows, Device device)
    {
        if (!like.IsEven)
            throw new ArgumentException("the sequences differ in length");
        Indices = [.. like.Indices.Take(rows)];
        Lengths = like.Lengths[..rows];
        Ids = like.Ids.narrow(0, 0, rows).to(device);
        Labels = like.Labels.narrow(0, 0, Lengths.Sum()).to(device);
    }

    /// <summary>Which sequences.</summary>
    public IReadOnlyList<int> Indices { get; }

    /// <summary>Whether all sequences are of one length.</summary>
    public bool IsEven => Valid is null;

    /// <summary>Whether another batch fits into the same place.</summary>
    public bool Fits(TokenBatch other) => other.IsEven && IsEven && other.Ids.shape.SequenceEqual(Ids.shape);

    /// <summary>Takes the tokens of another batch of the same sizes.</summary>
    public void Take(TokenBatch other)
    {
        Ids.copy_(other.Ids);
        Labels.copy_(other.Labels);
    }

    /// <summary>Positions of each.</summary>
    public int[] Lengths { get; }

    /// <summary>Positions of all.</summary>
    public long Positions => Labels.numel();

    /// <summary>i64 [rows, longest].</summary>
    public Tensor Ids { get; }

    /// <summary>i64 [positions], row after row.</summary>
    public Tensor Labels { get; }

    /// <summary>i64 [positions], where the positions lie among rows × longest; null where all are.</summary>
    private Tensor? Valid { get; }

    /// <summary>[rows, longest, d] → [positions, d].</summary>
    public Tensor Select(Tensor x)
    {
        var flat = x.flatten(0, 1);
        return Valid is null ? flat : flat.index_select(0, Valid.to(x.device));
    }
}
