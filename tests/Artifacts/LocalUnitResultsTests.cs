using Qbb.Tests;

namespace Qbb.Artifacts.Tests;

public sealed class LocalUnitResultsTests : UnitResultsTests, IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public LocalUnitResultsTests()
    {
        Store = new LocalArtifactStore(_folder.Path);
        Results = new LocalUnitResults(Store, _folder.Path);
    }

    protected override IArtifactStore Store { get; }

    protected override IUnitResults Results { get; }

    public void Dispose() => _folder.Dispose();
}
