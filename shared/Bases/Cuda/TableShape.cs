using Qbb.Torch.Cuda;

namespace Qbb.Bases.Cuda;

/// <summary>How table.cu is compiled and launched: everything but the device.</summary>
/// <param name="Bases">N.</param>
/// <param name="HasBias">With β.</param>
/// <param name="Columns">Most tokens, 8 or 16.</param>
/// <param name="Group">Inputs that share a scale, a multiple of 32; <see cref="Row"/> for one scale a row.</param>
/// <param name="BFloat">x and y are bf16, else f16.</param>
/// <param name="Warps">Warps of a block.</param>
/// <param name="Stages">Steps that a warp has in shared memory at a time.</param>
/// <param name="Slab">Steps of 256 inputs whose x is in shared memory at a time.</param>
internal sealed record TableShape(int Bases, bool HasBias, int Columns, int Group, bool BFloat, int Warps, int Stages, int Slab)
{
    public const string Kernel = "table_product";

    /// <summary>A group beyond every row.</summary>
    public const int Row = 1 << 30;

    public int Threads => 32 * Warps;

    public KernelSource Source => DeviceSource.Of(typeof(TableShape).Assembly, ["inputs.cu", "table.cu"], $"-DBASES={Bases}", $"-DBIAS={(HasBias ? 1 : 0)}", $"-DCOLUMNS={Columns}",
        $"-DGROUP={Group}", $"-DBFLOAT={(BFloat ? 1 : 0)}", $"-DWARPS={Warps}", $"-DSTAGES={Stages}", $"-DSLAB={Slab}");

    /// <summary>Shared memory of a block: the slab of x, its sums and factors, the warps' rings.</summary>
    public int SharedBytes
    {
        get
        {
            var slots = Group >= 256 ? (Group % 256 != 0 ? 2 : 1) : 256 % Group != 0 ? 255 / Group + 2 : 256 / Group;
            var stage = 4 * (128 * Bases + slots * 8 * (Bases + (HasBias ? 1 : 0)));
            var sums = HasBias ? Slab * 8 / (Group % 128 == 0 ? 4 : 1) * Columns * 4 : 0;
            return Slab * 8 * 4 * Columns * 16 + sums + Columns * 4 + Warps * Stages * stage;
        }
    }

    /// <summary>Whether the kernel can take a weight with groups of this size.</summary>
    public static bool Supports(int groupSize, int inFeatures) => groupSize % 32 == 0 || groupSize >= inFeatures;
}
