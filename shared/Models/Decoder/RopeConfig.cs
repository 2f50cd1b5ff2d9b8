namespace Qbb.Models.Decoder;

/// <summary>The rotary position embedding as config.json describes it, in whichever spelling.</summary>
public sealed record RopeConfig
{
    public RopeKind Kind { get; init; }

    /// <summary>The base period.</summary>
    public double Theta { get; init; } = 10_000;

    /// <summary>How many leading elements of each head are rotated; even.</summary>
    public required int Dimensions { get; init; }

    /// <summary>max_position_embeddings: where dynamic scaling begins.</summary>
    public required int MaxPositions { get; init; }

    /// <summary>The context of training: used by yarn, llama3 and longrope.</summary>
    public required int OriginalMaxPositions { get; init; }

    /// <summary>How many times longer the context became.</summary>
    public double Factor { get; init; } = 1;

    /// <summary>Multiplies cosine and sine; null to derive it (yarn, longrope).</summary>
    public double? AttentionFactor { get; init; }

    public double BetaFast { get; init; } = 32;

    public double BetaSlow { get; init; } = 1;

    /// <summary>Whether yarn rounds the ends of its ramp outwards to whole frequencies.</summary>
    public bool Truncate { get; init; } = true;

    public double? Mscale { get; init; }

    public double? MscaleAllDimensions { get; init; }

    public double LowFrequencyFactor { get; init; } = 1;

    public double HighFrequencyFactor { get; init; } = 4;

    /// <summary>longrope: divisors of the frequencies up to <see cref="OriginalMaxPositions"/>; one per pair.</summary>
    public IReadOnlyList<double> ShortFactor { get; init; } = [];

    /// <summary>longrope: divisors of the frequencies beyond <see cref="OriginalMaxPositions"/>; one per pair.</summary>
    public IReadOnlyList<double> LongFactor { get; init; } = [];

    /// <summary>The frequencies depend on the length of the sequence, so that a longer sequence changes its earlier positions too.</summary>
    public bool DependsOnLength => Kind is RopeKind.Dynamic or RopeKind.LongRope;
}
