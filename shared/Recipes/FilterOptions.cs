namespace Qbb.Recipes;

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

    /// <exception cref="InvalidInputException">Options are out of range; the message names them.</exception>
    public void Validate()
    {
        var problems = Problems().ToList();
        if (problems.Count > 0)
            throw new InvalidInputException(string.Join("; ", problems));
    }

    /// <summary>Reads the part of a recipe.</summary>
    /// <exception cref="InvalidInputException">It cannot be used; the message lists everything that is wrong.</exception>
    public static FilterOptions FromJson(string json) =>
        PartJson.Require<FilterOptions>(PartJson.Parse(json, "filter"), "filter", options => options.Problems());

    internal IEnumerable<string> Problems()
    {
        if (!(Keep > 0 && Keep <= 1))
            yield return $"keep is {Keep}; it must be above 0 and at most 1";
        if (!Enum.IsDefined(Measure))
            yield return "measure must be mse or kl";
        if (Batch is < 1 or > MostBatch)
            yield return $"batch is {Batch}; it must be 1 to {MostBatch}";
    }
}
