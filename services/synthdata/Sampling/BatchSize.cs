using Qbb.Models.Decoder;
using Qbb.Torch;

namespace Qbb.Synthdata.Sampling;

/// <summary>
/// How many sequences to sample together where nobody says: as many as keep the cache of keys and values small, 256 at most.
/// </summary>
public static class BatchSize
{
    private const int Most = 256;

    /// <param name="config">The teacher.</param>
    /// <param name="length">Tokens of a sequence.</param>
    /// <param name="device">Its cache may take 16 GiB on a GPU and 1 GiB elsewhere.</param>
    /// <param name="dtype">Of the cache.</param>
    public static int Default(DecoderConfig config, int length, Device device, ScalarType dtype)
    {
        var cache = 2.0 * config.BlockCount * config.KeyValueHeadCount * config.HeadDimension * dtype.ElementSize() * length;
        var memory = device.Type == DeviceType.CUDA ? Math.ScaleB(1, 34) : Math.ScaleB(1, 30);
        return (int)Math.Clamp(memory / cache, 1, Most);
    }
}
