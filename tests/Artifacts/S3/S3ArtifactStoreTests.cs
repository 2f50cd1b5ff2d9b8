using System.Security.Cryptography;
using Amazon.S3.Model;
using Qbb.Artifacts.S3;
using Qbb.Tests.S3;

namespace Qbb.Artifacts.Tests.S3;

public sealed class S3ArtifactStoreTests : ArtifactStoreTests, IClassFixture<S3Server>
{
    private readonly S3Server _server;
    private readonly string _prefix = Guid.NewGuid().ToString("N") + "/";
    private readonly S3ArtifactStore _store = null!;

    public S3ArtifactStoreTests(S3Server server)
    {
        S3Server.Require();
        _server = server;
        _store = new S3ArtifactStore(new ArtifactBucket(server.Client, S3Server.Bucket, _prefix));
    }

    protected override IArtifactStore Store => _store;

    [Fact]
    public async Task Large_blobs_go_up_in_parts()
    {
        var blob = await _store.PutAsync(new MemoryStream(RandomNumberGenerator.GetBytes(20 << 20)));
        var found = await _server.Client.GetObjectMetadataAsync(S3Server.Bucket, $"{_prefix}blobs/{blob.Digest}");
        found.ETag.Trim('"').ShouldEndWith("-3");
    }

    [Fact]
    public void Parts_grow_so_that_a_stream_of_unknown_length_fits()
    {
        var parts = Enumerable.Range(1, 10_000).Select(S3Upload.PartBytes).ToList();
        parts[0].ShouldBe(8 << 20);
        parts.Zip(parts.Skip(1)).ShouldAllBe(pair => pair.Second >= pair.First);
        parts.Sum(bytes => (long)bytes).ShouldBeGreaterThan(2L << 40);
    }

    [Fact]
    public async Task Systems_with_prefixes_of_their_own_share_a_bucket()
    {
        var other = new S3ArtifactStore(new ArtifactBucket(_server.Client, S3Server.Bucket, Guid.NewGuid().ToString("N") + "/"));
        var blob = await _store.PutAsync(new MemoryStream([1, 2, 3]));
        (await other.FindAsync(blob.Digest)).ShouldBeNull();
        (await other.ListAsync().ToListAsync()).ShouldBeEmpty();
    }

    [Fact]
    public async Task What_was_kept_when_it_was_not_there_leaves_nothing()
    {
        (await _store.KeepAsync(Digest.Of("nothing"))).ShouldBeFalse();
        (await CountObjectsAsync()).ShouldBe(0);
        // As after a crash between the blob's deletion and that of its time.
        await _server.Client.PutObjectAsync(new PutObjectRequest { BucketName = S3Server.Bucket, Key = $"{_prefix}used/{Digest.Of("gone")}", ContentBody = "" });
        (await _store.ListAsync().ToListAsync()).ShouldBeEmpty();
        await _store.RemoveAbandonedAsync(DateTimeOffset.UtcNow.AddMinutes(1));
        (await CountObjectsAsync()).ShouldBe(0);
    }

    [Fact]
    public async Task Deleting_leaves_nothing()
    {
        var blob = await _store.PutAsync(new MemoryStream([1, 2, 3]));
        (await _store.KeepAsync(blob.Digest)).ShouldBeTrue();
        (await _store.DeleteAsync(blob.Digest)).ShouldBeTrue();
        (await CountObjectsAsync()).ShouldBe(0);
    }

    protected override async Task<int> CountLeftoversAsync() => (await _server.Client.ListMultipartUploadsAsync(
        new ListMultipartUploadsRequest { BucketName = S3Server.Bucket, Prefix = _prefix })).MultipartUploads?.Count ?? 0;

    protected override async Task LeaveHalfAsync(Digest digest)
    {
        var key = $"{_prefix}blobs/{digest}";
        var upload = await _server.Client.InitiateMultipartUploadAsync(S3Server.Bucket, key);
        await _server.Client.UploadPartAsync(new UploadPartRequest
        {
            BucketName = S3Server.Bucket,
            Key = key,
            UploadId = upload.UploadId,
            PartNumber = 1,
            InputStream = new MemoryStream(new byte[100]),
        });
    }

    protected override Task DamageAsync(Digest digest, byte[] bytes) => _server.Client.PutObjectAsync(
        new PutObjectRequest { BucketName = S3Server.Bucket, Key = $"{_prefix}blobs/{digest}", InputStream = new MemoryStream(bytes) });

    private async Task<int> CountObjectsAsync() => (await _server.Client.ListObjectsV2Async(
        new ListObjectsV2Request { BucketName = S3Server.Bucket, Prefix = _prefix })).S3Objects?.Count ?? 0;
}
