namespace Qbb.Bases.Cpu;

/// <summary>Up to how many tokens lookups are quicker than a dense product with expanded tiles.</summary>
internal static class CpuCrossover
{
    /// <summary>Measured, see docs/kernels.md: lookups cost the same for every token, a dense product also has to expand and to pack.</summary>
    public static int MostLookups(CpuInstructions instructions, bool integer, int count) => 32;
}
