using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Qbb.Bench.Cpu;

/// <summary>Reads memory as fast as the cores can.</summary>
internal static class ReadBandwidth
{
    private const int FloatsAhead = 1024;

    /// <summary>Reads a buffer in as many equal parts as there are threads; the result is of no use but to be needed.</summary>
    public static uint Read(float[] buffer, int threads)
    {
        var results = new uint[threads];
        if (threads == 1)
            results[0] = ReadPart(buffer);
        else
            Parallel.For(0, threads, new ParallelOptions { MaxDegreeOfParallelism = threads }, k =>
            {
                var first = (int)((long)buffer.Length * k / threads);
                results[k] = ReadPart(buffer.AsSpan(first, (int)((long)buffer.Length * (k + 1) / threads) - first));
            });
        return results.Aggregate((a, b) => a | b);
    }

    private static unsafe uint ReadPart(ReadOnlySpan<float> part)
    {
        Vector512<uint> a = default, b = default, c = default, d = default;
        fixed (float* start = part)
        {
            var p = (uint*)start;
            for (var k = 0; k + 64 <= part.Length; k += 64, p += 64)
            {
                if (Sse.IsSupported)
                    for (var line = 0; line < 64; line += 16)
                        Sse.Prefetch0(p + FloatsAhead + line);
                a |= Vector512.Load(p);
                b |= Vector512.Load(p + 16);
                c |= Vector512.Load(p + 32);
                d |= Vector512.Load(p + 48);
            }
        }
        return Vector512.Sum(a | b | c | d);
    }
}
