using Qbb.Torch.Cuda;

namespace Qbb.Bases.Cuda;

/// <summary>How mask.cu is compiled and launched: everything but the device.</summary>
/// <param name="Bases">N.</param>
/// <param name="HasBias">With β.</param>
/// <param name="Columns">Most tokens, 8 or 16.</param>
/// <param name="Group">Inputs that share a scale, a multiple of 128; <see cref="TableShape.Row"/> for one scale a row.</param>
/// <param name="BFloat">x and y are bf16, else f16.</param>
/// <param name="Warps">Warps of a block.</param>
/// <param name="Stages">Steps that a warp has in shared memory at a time.</param>
/// <param name="Slab">Steps of 256 inputs whose x is in shared memory at a time.</param>
internal sealed record MaskShape(int Bases, bool HasBias, int Columns, int Group, bool BFloat, int Warps, int Stages, int Slab)
{
    public const string Kernel = "mask_product";

    public int Threads => 32 * Warps;

    public KernelSource Source => DeviceSource.Of(typeof(MaskShape).Assembly, ["inputs.cu", "mask.cu"], $"-DBASES={Bases}", $"-DBIAS={(HasBias ? 1 : 0)}", $"-DCOLUMNS={Columns}",
        $"-DGROUP={Group}", $"-DBFLOAT={(BFloat ? 1 : 0)}", $"-DWARPS={Warps}", $"-DSTAGES={Stages}", $"-DSLAB={Slab}");

    /// <summary>Shared memory of a block: the slab of x or the partial sums, a factor and two sums for each chunk of a token, the warps' rings.</summary>
    public int SharedBytes
    {
        get
        {
            var stage = 4 * (128 * Bases + 16 * (Bases + (HasBias ? 1 : 0)));
            return 2 * Slab * Columns * (256 + 12) + Warps * Stages * stage;
        }
    }

    /// <summary>Whether the kernel can take a weight with groups of this size: whole chunks of 128, or one scale a row.</summary>
    public static bool Supports(int groupSize, int inFeatures) => CountShape.Supports(groupSize, inFeatures);
}
