using Qbb.Artifacts.S3;
using Qbb.Tests.S3;

namespace Qbb.Artifacts.Tests.S3;

public sealed class S3UnitResultsTests : UnitResultsTests, IClassFixture<S3Server>
{
    public S3UnitResultsTests(S3Server server)
    {
        S3Server.Require();
        var bucket = new ArtifactBucket(server.Client, S3Server.Bucket, Guid.NewGuid().ToString("N") + "/");
        Store = new S3ArtifactStore(bucket);
        Results = new S3UnitResults(Store, bucket);
    }

    protected override IArtifactStore Store { get; }

    protected override IUnitResults Results { get; }
}
