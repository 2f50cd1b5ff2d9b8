using Qbb.Cuda;
using Qbb.Models.Decoder;
using Qbb.Recipes;

namespace Qbb.Synthdata.Sampling;

/// <summary>
/// How many sequences to sample together where nobody says: as many as the cache of keys and values has memory for, up to a limit: on a GPU a
/// small model's step takes as long for a thousand sequences as for one.
/// </summary>
public static class BatchSize
{
    private const int MostOnCpu = 256;
    private const int MostOnGpu = 4096;

    /// <summary>The cache's share of what the loaded teacher left free on a GPU: one step's logits and activations need the rest.</summary>
    private const double ShareOfFree = 0.7;

    /// <param name="config">The teacher, which is loaded.</param>
    /// <param name="length">Tokens of a sequence.</param>
    /// <param name="device">Of the teacher. On a CPU the cache may take 384 MiB, and what is sampled together a few minutes.</param>
    /// <param name="dtype">Of the cache.</param>
    public static int Default(DecoderConfig config, int length, Device device, ScalarType dtype)
    {
        var cache = 2.0 * config.BlockCount * config.KeyValueHeadCount * config.HeadDimension * dtype.ElementSize() * length;
        if (device.type == DeviceType.CUDA)
            return (int)Math.Clamp(ShareOfFree * CudaDevice.Get(device).Memory.Free / cache, 1, MostOnGpu);
        var most = Math.Min(MostOnCpu, UnitPlan.SampledTogether(Weights(config), length, new WorkMachine(Environment.ProcessorCount, Gpu: false)));
        return (int)Math.Clamp(WorkPlan.CacheOnCpu / cache, 1, most);
    }

    /// <summary>About how many weights a token's step reads.</summary>
    private static long Weights(DecoderConfig config) => (long)config.VocabularySize * config.HiddenSize + (long)config.BlockCount * config.HiddenSize
        * (2L * config.HeadDimension * (config.HeadCount + config.KeyValueHeadCount) + 3L * config.IntermediateSize);
}
