namespace Qbb.Bases.Cpu;

/// <summary>Up to how many tokens lookups are used; for more, tiles are expanded and multiplied densely.</summary>
/// <remarks>
/// Lookups cost the same for every token, and no less for plain code than a dense product does. With Debian's OpenBLAS the vector kernels
/// are ahead at any number of tokens (docs/kernels.md). Where each sign takes as much of a core as a multiplication does in a BLAS that
/// reaches the core's peak, at N = 5 and more with AVX-512 and N = 3 and more with AVX2, they are used for a few tokens only. The choice
/// depends on nothing that is measured at run time, so results repeat.
/// </remarks>
internal static class CpuCrossover
{
    /// <summary>The most tokens of one product by lookups.</summary>
    /// <param name="instructions">Instructions of the kernel.</param>
    /// <param name="count">N.</param>
    public static long MostLookups(CpuInstructions instructions, int count) => instructions switch
    {
        CpuInstructions.Avx512 => count <= 4 ? long.MaxValue : 64,
        CpuInstructions.Avx2 => count <= 2 ? long.MaxValue : 64,
        _ => 8,
    };
}
