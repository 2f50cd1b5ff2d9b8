namespace Qbb.Bases.Cpu;

/// <summary>
/// One way to multiply packed bases with a few tokens: y = Σ_i α_i ⊙ (B_i x) + β Σx, where B_i x is summed from tables of the 16 sums
/// ±x0 ±x1 ±x2 ±x3 of every four columns: one lookup and one addition for four signs of one row.
/// </summary>
internal abstract unsafe class CpuKernel
{
    /// <summary>Bytes of lookup tables for one token and 32 columns.</summary>
    public abstract int TableBytesPerWord { get; }

    /// <summary>Multiplies tiles [firstTile, lastTile); safe to run on several threads for different tiles.</summary>
    public abstract void Run(in TileJob job, int firstTile, int lastTile);
}
