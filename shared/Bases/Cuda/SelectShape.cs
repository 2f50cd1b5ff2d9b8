using Qbb.Cuda;

namespace Qbb.Bases.Cuda;

/// <summary>How select.cu is compiled and launched: everything but the device.</summary>
/// <param name="Bases">N.</param>
/// <param name="HasBias">With β.</param>
/// <param name="Columns">Most tokens: 8, 16 or 32.</param>
/// <param name="Group">Inputs that share a scale, a multiple of 32; <see cref="PackedBases.Row"/> for one scale a row.</param>
/// <param name="BFloat">x and y are bf16, else f16.</param>
/// <param name="Wide">Four warps multiply together: Hopper only.</param>
/// <param name="Warps">Warps of a block.</param>
/// <param name="Stages">Steps that a warp has in shared memory at a time.</param>
/// <param name="Slab">Steps of 256 inputs whose x is in shared memory at a time.</param>
/// <param name="Runs">Groups of tiles that one warp, or four together, have a part of at a time.</param>
/// <param name="Cluster">Blocks that share rows and have a part of the inputs each; more than one from compute capability 9.0 on.</param>
internal sealed record SelectShape(int Bases, bool HasBias, int Columns, int Group, bool BFloat, bool Wide, int Warps, int Stages, int Slab, int Runs, int Cluster)
{
    public const string Kernel = "select_product";

    public int Threads => 32 * Warps;

    public KernelSource Source => DeviceSource.Of(typeof(SelectShape).Assembly, ["inputs.cu", "pairs.cu", "select.cu"], $"-DBASES={Bases}", $"-DBIAS={(HasBias ? 1 : 0)}", $"-DCOLUMNS={Columns}",
        $"-DGROUP={Group}", $"-DBFLOAT={(BFloat ? 1 : 0)}", $"-DWIDE={(Wide ? 1 : 0)}", $"-DWARPS={Warps}",
        $"-DSTAGES={Stages}", $"-DSLAB={Slab}", $"-DRUNS={Runs}", $"-DCLUSTER={Cluster}");

    /// <summary>Shared memory of a block: the slab of x or the partial sums, sums for the bias, factors, largest inputs, the warps' rings.</summary>
    public int SharedBytes
    {
        get
        {
            var slots = Group >= 256 ? (Group % 256 != 0 ? 2 : 1) : 256 % Group != 0 ? 255 / Group + 2 : 256 / Group;
            var stage = 4 * (128 * Bases + slots * 8 * (Bases + (HasBias ? 1 : 0)));
            var sums = HasBias ? 2 * Slab * (Group % 128 == 0 ? 1 : 4) : 0;
            var largest = BFloat ? 2 * Slab : 0;
            return Math.Max(Slab * 1024 * Columns, Warps * Runs * Columns * 64) + 4 * Columns * (sums + 1 + largest) + Warps * Stages * stage;
        }
    }

    /// <summary>Whether the kernel can take a weight with groups of this size.</summary>
    public static bool Supports(int groupSize, int inFeatures) => groupSize % 32 == 0 || groupSize >= inFeatures;
}
