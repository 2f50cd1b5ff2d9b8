using Qbb.Cuda;

namespace Qbb.Bases.Cuda;

/// <summary>Launches expand.cu.</summary>
internal static class Expansion
{
    public const string Kernel = "expand_bases";
    public const int Threads = 128;
    private const int WarpsPerBlock = Threads / 32;

    /// <summary>The source for a weight and an element type.</summary>
    public static KernelSource SourceFor(PackedBases weight, ScalarType type) => DeviceSource.Of(typeof(Expansion).Assembly, ["expand.cu"],
        $"-DBASES={weight.Count}", $"-DBIAS={(weight.HasBias ? 1 : 0)}", $"-DGROUP={weight.KernelGroup}",
        $"-DTYPE={type switch { ScalarType.Float16 => 0, ScalarType.BFloat16 => 1, ScalarType.Float32 => 2, _ => throw new ArgumentException($"no kernel expands to {type}") }}");

    /// <summary>Blocks for a number of tiles.</summary>
    public static int Blocks(PackedBases weight, int tiles) => (tiles * FragmentLayout.Steps(weight.InFeatures) + WarpsPerBlock - 1) / WarpsPerBlock;

    /// <summary>Rows [16 · first, 16 · (first + tiles)) of Ŵ, those that exist.</summary>
    /// <param name="weight">Ŵ [out, in].</param>
    /// <param name="first">First tile of 16 rows.</param>
    /// <param name="tiles">How many.</param>
    /// <param name="rows">f16, bf16 or f32 [at least 16 · tiles, in]</param>
    public static void Run(PackedBases weight, int first, int tiles, Tensor rows) =>
        KernelModule.Load(SourceFor(weight, rows.dtype), rows.device)[Kernel].Launch(Blocks(weight, tiles), Threads, 0,
            weight.Words, weight.Scales, rows, first, tiles, weight.InFeatures, weight.OutFeatures, weight.Groups);
}
