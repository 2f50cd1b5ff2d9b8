using System.Diagnostics.Metrics;

namespace Qbb.Artifacts;

/// <summary>What a process puts into its store.</summary>
internal static class StoreMetrics
{
    // The name under which all of the product's metrics go.
    private static readonly Counter<long> s_stored = new Meter("Qbb").CreateCounter<long>("qbb.artifacts.stored", "By", "Bytes that were put into the artifact store");

    public static void Stored(long bytes) => s_stored.Add(bytes);
}
