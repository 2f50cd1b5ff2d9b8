namespace Qbb.Checkpoints;

/// <summary>Sizes of shapes that come from outside and may lie.</summary>
internal static class TensorShape
{
    /// <summary>PyTorch's own limit on dimensions is 64.</summary>
    public const int MaxDimensions = 64;

    /// <summary>Names longer than this occur in no model; the limit bounds what a lying header makes us allocate.</summary>
    public const int MaxNameLength = 4096;

    /// <summary>Tensors in one file; the largest models keep some 10^5 over all their shards.</summary>
    public const int MaxTensors = 1 << 18;

    /// <summary>Bytes of a tensor; false when the count or the size overflows, or when the last block would be cut.</summary>
    public static bool TryGetBytes(IReadOnlyList<long> shape, StoredType type, out long bytes)
    {
        bytes = 0;
        Int128 count = 1;
        var isEmpty = false;
        foreach (var size in shape)
        {
            isEmpty |= size == 0;
            // The others must fit by themselves even where one is 0: 0 x 2^62 x 2^62 is no shape of anything.
            count *= Math.Max(size, 1);
            if (size < 0 || count > long.MaxValue)
                return false;
        }
        if (isEmpty)
            return true;
        if (count % type.BlockLength != 0)
            return false;
        count = count / type.BlockLength * type.BlockBytes;
        if (count > long.MaxValue)
            return false;
        bytes = (long)count;
        return true;
    }
}
