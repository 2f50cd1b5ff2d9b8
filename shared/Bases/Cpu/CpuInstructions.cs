namespace Qbb.Bases.Cpu;

/// <summary>What a kernel asks of the processor.</summary>
public enum CpuInstructions
{
    /// <summary>Nothing: plain table lookups, for any processor.</summary>
    Portable,

    /// <summary>AVX2 and FMA.</summary>
    Avx2,

    /// <summary>AVX-512 F and BW.</summary>
    Avx512,
}
