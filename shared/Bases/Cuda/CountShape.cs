using Qbb.Cuda;

namespace Qbb.Bases.Cuda;

/// <summary>How count.cu is compiled and launched: everything but the device.</summary>
/// <param name="Bases">N.</param>
/// <param name="HasBias">With β.</param>
/// <param name="Tokens">Rows of x.</param>
/// <param name="Group">Inputs that share a scale, a multiple of 128; <see cref="PackedBases.Row"/> for one scale a row.</param>
/// <param name="BFloat">x and y are bf16, else f16.</param>
/// <param name="Warps">Warps of a block; they share a tile's inputs.</param>
/// <param name="Stages">Steps that a warp has in shared memory at a time.</param>
/// <param name="Blocks">Blocks that one multiprocessor shall hold.</param>
/// <param name="Input">What stands between x and the product.</param>
internal sealed record CountShape(int Bases, bool HasBias, int Tokens, int Group, bool BFloat, int Warps, int Stages, int Blocks, CountInput Input = CountInput.Plain)
{
    public const string Kernel = "count_product";

    /// <summary>Inputs that get one power of two; scales must not change inside.</summary>
    public const int Chunk = 128;

    private const int RecordBytes = 72 * 4;

    public int Threads => 32 * Warps;

    public KernelSource Source => DeviceSource.Of(typeof(CountShape).Assembly, ["inputs.cu", "count.cu"], $"-DBASES={Bases}", $"-DBIAS={(HasBias ? 1 : 0)}", $"-DTOKENS={Tokens}", $"-DGROUP={Group}",
        $"-DBFLOAT={(BFloat ? 1 : 0)}", $"-DWARPS={Warps}", $"-DSTAGES={Stages}", $"-DBLOCKS={Blocks}", $"-DINPUT={(int)Input}");

    /// <summary>Shared memory of a block: records of x, the warps' rings, two buffers of partial sums.</summary>
    public int SharedBytes(int inFeatures)
    {
        var stage = 4 * (128 * Bases + 16 * (Bases + (HasBias ? 1 : 0)));
        return Tokens * 2 * FragmentLayout.Steps(inFeatures) * RecordBytes + Warps * Stages * stage + 2 * Warps * 16 * Tokens * 4;
    }

    /// <summary>Whether the kernel can take a weight with groups of this size: whole chunks, or one scale a row.</summary>
    public static bool Supports(int groupSize, int inFeatures) => groupSize % Chunk == 0 || groupSize >= inFeatures;

    /// <summary>Elements from one token's addend to the next's: 0 for a vector, which all tokens share.</summary>
    public static int AddendStride(Tensor? addend, PackedBases weight) => addend is null || addend.dim() == 1 ? 0 : weight.OutFeatures;
}
