namespace Qbb.Models.Decoder;

/// <summary>
/// Cuts positions into runs whose logits are made together: [positions, vocabulary] is the largest tensor of all, and 2²³ elements of it at
/// a time (32 MiB in fp32) stay near the cache.
/// </summary>
public static class PositionChunks
{
    private const long LogitsAtOnce = 1 << 23;

    /// <summary>All runs, in order.</summary>
    public static IEnumerable<(long Start, long Length)> Of(long positions, int vocabulary)
    {
        var chunk = Math.Max(1, LogitsAtOnce / vocabulary);
        for (long start = 0; start < positions; start += chunk)
            yield return (start, Math.Min(chunk, positions - start));
    }
}
