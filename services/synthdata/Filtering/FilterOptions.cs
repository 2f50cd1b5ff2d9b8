using Qbb.Models;

namespace Qbb.Synthdata.Filtering;

/// <summary>What a filter keeps.</summary>
public sealed record FilterOptions
{
    private const int MostBatch = 1 << 16;

    /// <summary>Share of the sequences that is kept.</summary>
    public double Keep { get; init; } = 0.5;

    /// <summary>The discrepancy that sequences are scored by.</summary>
    public Measure Measure { get; init; } = Measure.Mse;

    /// <summary>Keep sequences at random instead of those of the largest discrepancy: what the filter is to be compared with.</summary>
    public bool Random { get; init; }

    /// <summary>Seed of the random choice.</summary>
    public ulong Seed { get; init; }

    /// <summary>Sequences that are scored together.</summary>
    public int Batch { get; init; } = 8;

    /// <exception cref="InvalidInputException">An option is out of range; the message names it.</exception>
    public void Validate()
    {
        if (!(Keep > 0 && Keep <= 1))
            throw new InvalidInputException($"keep is {Keep}; it must be above 0 and at most 1");
        if (!Enum.IsDefined(Measure))
            throw new InvalidInputException("measure must be mse or kl");
        if (Batch is < 1 or > MostBatch)
            throw new InvalidInputException($"batch is {Batch}; it must be 1 to {MostBatch}");
    }
}
