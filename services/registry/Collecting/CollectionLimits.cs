namespace Qbb.Registry.Collecting;

/// <summary>What a collection spares.</summary>
/// <param name="Deleted">Versions that were deleted not longer ago.</param>
/// <param name="Results">Results of units that were used not longer ago.</param>
/// <param name="Grace">Blobs that were put or found not longer ago.</param>
internal sealed record CollectionLimits(TimeSpan Deleted, TimeSpan Results, TimeSpan Grace)
{
    public static CollectionLimits Of(RegistryOptions options) => new(
        TimeSpan.FromDays(options.DeletedDays), TimeSpan.FromDays(options.ResultDays), TimeSpan.FromMinutes(options.GraceMinutes));
}
