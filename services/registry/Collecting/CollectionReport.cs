namespace Qbb.Registry.Collecting;

/// <summary>What a collection removed, or would remove.</summary>
/// <param name="DryRun">Nothing was removed.</param>
/// <param name="Versions">Deleted versions whose files were let go.</param>
/// <param name="Results">Results of units that were forgotten.</param>
/// <param name="Leases">Uploads that were given up.</param>
/// <param name="Blobs">Blobs that nothing refers to.</param>
/// <param name="Bytes">Their bytes.</param>
/// <param name="Kept">Blobs that stay.</param>
/// <param name="KeptBytes">Their bytes.</param>
public sealed record CollectionReport(
    bool DryRun, int Versions, int Results, int Leases, int Blobs, long Bytes, int Kept, long KeptBytes);
