namespace Qbb.Models.Generation;

/// <summary>
/// A small seeded generator (Steele, Lea and Flood 2014). Unlike <see cref="Random"/> a seed means the same numbers on every version of
/// .NET.
/// </summary>
public struct SplitMix64(ulong seed)
{
    private const ulong Increment = 0x9E3779B97F4A7C15;

    /// <summary>Between two neighbouring uniform numbers.</summary>
    private const double Step = 1.0 / (1UL << 53);

    private ulong _state = seed;

    /// <summary>A generator for one of many places under one seed, decorrelated from those of other places.</summary>
    public static SplitMix64 For(ulong seed, ulong place)
    {
        var mixed = new SplitMix64(new SplitMix64(seed).Next() ^ place * Increment);
        return new SplitMix64(mixed.Next());
    }

    /// <summary>The same for places of two dimensions.</summary>
    public static SplitMix64 For(long seed, long row, long column)
    {
        var mix = new SplitMix64((ulong)seed);
        mix = new SplitMix64(mix.Next() ^ (ulong)row * Increment);
        mix = new SplitMix64(mix.Next() ^ (ulong)column * 0xD1B5_4A32_D192_ED03);
        return new SplitMix64(mix.Next());
    }

    /// <summary>A hash of a number: the first that a generator of this seed gives.</summary>
    public static ulong Hash(ulong x) => new SplitMix64(x).Next();

    public ulong Next()
    {
        var x = _state += Increment;
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
        return x ^ (x >> 31);
    }

    /// <summary>Uniform in [0, 1).</summary>
    public double NextUniform() => (Next() >> 11) * Step;

    /// <summary>Standard normal (Box and Muller).</summary>
    public double NextGaussian() => Math.Sqrt(-2 * Math.Log(NextUniform() + Step)) * Math.Cos(2 * Math.PI * (NextUniform() + Step));
}
