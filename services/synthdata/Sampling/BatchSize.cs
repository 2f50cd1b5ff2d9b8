using Qbb.Cuda;
using Qbb.Models.Decoder;

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
    /// <param name="device">Of the teacher. On the CPU the cache may take 1 GiB.</param>
    /// <param name="dtype">Of the cache.</param>
    public static int Default(DecoderConfig config, int length, Device device, ScalarType dtype)
    {
        var cache = 2.0 * config.BlockCount * config.KeyValueHeadCount * config.HeadDimension * dtype.ElementSize() * length;
        var isGpu = device.type == DeviceType.CUDA;
        var memory = isGpu ? ShareOfFree * CudaDevice.Get(device).Memory.Free : Math.ScaleB(1, 30);
        return (int)Math.Clamp(memory / cache, 1, isGpu ? MostOnGpu : MostOnCpu);
    }
}
