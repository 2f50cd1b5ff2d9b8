namespace Qbb.Registry.Models;

/// <summary>What a version must keep to become the champion; of those that do, the one of the lowest KL is. Null: no limit.</summary>
public sealed record Gate
{
    /// <summary>Most of perplexity / teacher's perplexity.</summary>
    public double? MaxPerplexityRatio { get; init; }

    /// <summary>Most nats per position.</summary>
    public double? MaxKl { get; init; }

    /// <summary>The budget: most bits per weight.</summary>
    public double? MaxBitsPerWeight { get; init; }

    /// <summary>What is wrong with the limits.</summary>
    public IEnumerable<string> Problems()
    {
        if (MaxPerplexityRatio is { } ratio && !(ratio >= 1 && double.IsFinite(ratio)))
            yield return $"maxPerplexityRatio is {ratio}, it must be 1 or more";
        if (MaxKl is { } kl && !(kl > 0 && double.IsFinite(kl)))
            yield return $"maxKl is {kl}, it must be positive";
        if (MaxBitsPerWeight is { } bits && !(bits > 0 && double.IsFinite(bits)))
            yield return $"maxBitsPerWeight is {bits}, it must be positive";
    }
}
