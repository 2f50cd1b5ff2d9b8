namespace Qbb.Quantizer.Decomposition;

/// <summary>
/// A small seeded generator (Steele, Lea and Flood 2014), so that every group draws its own numbers whichever thread has it.
/// </summary>
internal struct SplitMix64(ulong seed)
{
    private ulong _state = seed;

    /// <summary>A generator for one place, decorrelated from those of other places.</summary>
    public static SplitMix64 For(long seed, long row, long group)
    {
        var mix = new SplitMix64((ulong)seed);
        mix = new SplitMix64(mix.Next() ^ (ulong)row * 0x9E37_79B9_7F4A_7C15);
        mix = new SplitMix64(mix.Next() ^ (ulong)group * 0xD1B5_4A32_D192_ED03);
        return new SplitMix64(mix.Next());
    }

    public ulong Next()
    {
        var z = _state += 0x9E37_79B9_7F4A_7C15;
        z = (z ^ z >> 30) * 0xBF58_476D_1CE4_E5B9;
        z = (z ^ z >> 27) * 0x94D0_49BB_1331_11EB;
        return z ^ z >> 31;
    }

    /// <summary>Uniform in (0, 1].</summary>
    public double NextUniform() => ((Next() >> 11) + 1) * (1.0 / (1UL << 53));

    /// <summary>Standard normal (Box and Muller).</summary>
    public double NextGaussian() => Math.Sqrt(-2 * Math.Log(NextUniform())) * Math.Cos(2 * Math.PI * NextUniform());
}
