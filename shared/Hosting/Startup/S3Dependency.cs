using Microsoft.Extensions.Options;
using Qbb.Artifacts.S3;
using Qbb.Hosting.Artifacts;

namespace Qbb.Hosting.Startup;

/// <summary>The bucket of the artifacts: it can be used once it can be listed.</summary>
internal sealed class S3Dependency(ArtifactBucket bucket, IOptions<ArtifactOptions> options) : IDependency
{
    public string Name => $"the bucket {options.Value.S3.Bucket} at {options.Value.S3.Address} (Artifacts:S3)";

    public Task ProbeAsync(CancellationToken cancellation) => bucket.ProbeAsync(cancellation);
}
