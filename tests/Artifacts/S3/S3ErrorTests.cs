using Qbb.Artifacts.S3;
using Qbb.Tests.S3;

namespace Qbb.Artifacts.Tests.S3;

public sealed class S3ErrorTests(S3Server server) : IClassFixture<S3Server>
{
    [Fact]
    public async Task A_bucket_that_is_missing_is_named()
    {
        S3Server.Require();
        var bucket = new ArtifactBucket(server.Client, "no-such-bucket");
        (await Should.ThrowAsync<ArtifactStoreException>(() => bucket.ProbeAsync())).Message
            .ShouldBe("s3://no-such-bucket/: cannot be read: there is no bucket no-such-bucket; create it, or correct the name");
        (await Should.ThrowAsync<ArtifactStoreException>(() => new S3ArtifactStore(bucket).PutAsync(new MemoryStream([1])))).Message
            .ShouldContain("cannot be written: there is no bucket no-such-bucket");
    }

    [Theory]
    [InlineData(403, "InvalidAccessKeyId", "the credentials are refused (InvalidAccessKeyId)")]
    [InlineData(403, "SignatureDoesNotMatch", "the credentials are refused (SignatureDoesNotMatch)")]
    [InlineData(403, "AccessDenied", "access is denied (AccessDenied); allow these credentials")]
    [InlineData(400, "AuthorizationHeaderMalformed", "the bucket is in another region")]
    [InlineData(301, "PermanentRedirect", "the bucket is in another region")]
    [InlineData(503, "SlowDown", "refused (SlowDown)")]
    [InlineData(507, "XMinioStorageFull", "no room is left (XMinioStorageFull)")]
    public async Task What_the_service_refuses_is_said(int status, string code, string said)
    {
        await using var service = new RefusingService($"HTTP/1.1 {status} Refused", $"<Error><Code>{code}</Code><Message>refused</Message></Error>");
        using var client = S3Server.NewClient(service.Address);
        var error = await Should.ThrowAsync<ArtifactStoreException>(() => new ArtifactBucket(client, "models").ProbeAsync());
        error.Message.ShouldContain(said);
        (error is StoreAwayException, error is StoreFullException).ShouldBe((status == 503, status == 507));
    }

    [Fact]
    public async Task A_service_that_is_away_is_said()
    {
        using var client = S3Server.NewClient("http://127.0.0.1:9");
        var error = await Should.ThrowAsync<ArtifactStoreException>(() => new S3ArtifactStore(new ArtifactBucket(client, "models")).PutAsync(new MemoryStream([1])));
        error.Message.ShouldContain("s3://models/: cannot be written: Connection refused");
        error.ShouldBeOfType<StoreAwayException>();
    }
}
