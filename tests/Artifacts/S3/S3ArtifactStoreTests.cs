using System.Globalization;
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
    public async Task A_touch_is_one_request_whether_the_blob_is_there_or_not()
    {
        var blob = await _store.PutAsync(new MemoryStream(RandomNumberGenerator.GetBytes(9 << 20)));
        var before = await RequestsAsync();
        (await _store.KeepAsync(blob.Digest)).ShouldBeTrue();
        (await RequestsAsync() - before).ShouldBe(1);
        (await _store.KeepAsync(Digest.Of("nothing"))).ShouldBeFalse();
        (await RequestsAsync() - before).ShouldBe(2);
        (await CountObjectsAsync()).ShouldBe(2, "the blob and its time");
    }

    [Fact]
    public async Task A_blob_without_its_time_is_not_there_yet_and_can_be_collected()
    {
        // As after a crash between the two, when it is put or when it is removed.
        var digest = Digest.Of([1, 2, 3]);
        await _server.Client.PutObjectAsync(new PutObjectRequest { BucketName = S3Server.Bucket, Key = $"{_prefix}blobs/{digest}", InputStream = new MemoryStream([1, 2, 3]) });
        (await _store.KeepAsync(digest)).ShouldBeFalse();
        (await _store.FindAsync(digest)).ShouldBeNull();
        (await _store.ListAsync().ToListAsync()).Single().Digest.ShouldBe(digest);
        (await _store.RemoveAsync([digest], DateTimeOffset.UtcNow.AddMinutes(1))).ShouldBe([digest]);
        (await CountObjectsAsync()).ShouldBe(0);

        // One that was removed by other means is found out by whoever reads it.
        var blob = await _store.PutAsync(new MemoryStream([4]));
        await _server.Client.DeleteObjectAsync(S3Server.Bucket, $"{_prefix}blobs/{blob.Digest}");
        (await _store.FindAsync(blob.Digest)).ShouldBeNull();
        await Should.ThrowAsync<BlobNotFoundException>(() => _store.OpenReadAsync(blob.Digest));
        (await _store.KeepAsync(blob.Digest)).ShouldBeFalse();
    }

    [Fact]
    public async Task Many_are_removed_by_few_requests()
    {
        var blobs = new List<Digest>();
        foreach (var some in Enumerable.Range(0, 200).Chunk(50))
            blobs.AddRange((await Task.WhenAll(some.Select(k => _store.PutAsync(new MemoryStream(BitConverter.GetBytes(k)))))).Select(blob => blob.Digest));
        var before = await RequestsAsync();
        (await _store.RemoveAsync(blobs, DateTimeOffset.UtcNow.AddMinutes(1))).Count.ShouldBe(200);
        (await RequestsAsync() - before).ShouldBe(3);
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

    /// <summary>Requests that the server has had, this one not counted.</summary>
    private async Task<int> RequestsAsync()
    {
        using var client = new HttpClient();
        return int.Parse(await client.GetStringAsync(_server.Endpoint + "/requests"), CultureInfo.InvariantCulture);
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
