using Qbb.Contracts;

namespace Qbb.Artifacts;

/// <summary>
/// Which unit of work had which result: a unit that is requested again, or whose worker died after storing its result, finds it here and
/// need not be done again. It is a memory, not a promise: losing it costs time only.
/// </summary>
public interface IUnitResults
{
    /// <summary>The manifest that a unit ended with; null where it did not, or its files are gone.</summary>
    Task<UnitResult?> FindAsync(Digest unit, CancellationToken cancellation = default);

    /// <summary>Remembers a result whose files are in the store. The first one stands; it is what is returned.</summary>
    Task<UnitResult> RememberAsync(Digest unit, UnitResult result, CancellationToken cancellation = default);

    /// <summary>Forgets a result; false where there was none.</summary>
    Task<bool> ForgetAsync(Digest unit, CancellationToken cancellation = default);

    /// <summary>All remembered units and when each was last found or remembered.</summary>
    IAsyncEnumerable<(Digest Unit, UnitResult Result, DateTimeOffset LastUsed)> ListAsync(CancellationToken cancellation = default);
}
