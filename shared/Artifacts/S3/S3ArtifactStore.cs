using System.Runtime.CompilerServices;
using Amazon.S3;
using Amazon.S3.Model;
using Qbb.Contracts;

namespace Qbb.Artifacts.S3;

/// <summary>
/// A store in a bucket: <c>blobs/abcd…</c>, and <c>used/abcd…</c>, empty, whose time says when a blob was last kept: S3 cannot touch an object, and a
/// copy of an empty one onto itself costs one request, whatever the blob's size. It is written after the blob and removed before it, so a blob is
/// there where both are. Blobs are written under their digest by requests that have all their bytes checked before, so there is nothing to move, and
/// who writes the same blob at the same time writes the same bytes.
/// </summary>
/// <param name="bucket">Where.</param>
public sealed class S3ArtifactStore(ArtifactBucket bucket) : IArtifactStore
{
    private const string Blobs = "blobs/";
    private const string Used = "used/";

    public async Task<BlobInfo> PutAsync(Stream content, Digest? expected = null, CancellationToken cancellation = default)
    {
        if (expected is not { } digest)
            return await PutUnknownAsync(content, cancellation);
        var size = await new S3Upload(bucket, Blobs + digest, digest).RunAsync(content, cancellation);
        await bucket.PutAsync(Used + digest, [], cancellation);
        StoreMetrics.Stored(size);
        return new BlobInfo(digest, size, DateTimeOffset.UtcNow);
    }

    public async Task<Stream> OpenReadAsync(Digest digest, long offset = 0, long? length = null, CancellationToken cancellation = default)
    {
        if (offset == 0 && length is null)
        {
            var whole = await GetAsync(digest, null, cancellation);
            return new BlobStream(new S3ObjectStream(whole, bucket), digest, whole.ContentLength, verify: true);
        }
        var size = (await bucket.FindAsync(Blobs + digest, cancellation))?.ContentLength ?? throw new BlobNotFoundException(digest);
        if (offset < 0 || offset > size || length < 0)
            throw new ArgumentOutOfRangeException(nameof(offset), $"the range {offset}+{length} lies outside the artifact's {size} bytes");
        var count = Math.Min(length ?? long.MaxValue, size - offset);
        if (count == 0)
            return new BlobStream(Stream.Null, digest, 0, verify: size == 0);
        var part = await GetAsync(digest, new ByteRange(offset, offset + count - 1), cancellation);
        return new BlobStream(new S3ObjectStream(part, bucket), digest, count, verify: count == size);
    }

    public async Task<BlobInfo?> FindAsync(Digest digest, CancellationToken cancellation = default)
    {
        if (await bucket.FindAsync(Used + digest, cancellation) is not { } used || await bucket.FindAsync(Blobs + digest, cancellation) is not { } blob)
            return null;
        return new BlobInfo(digest, blob.ContentLength, Later(ArtifactBucket.Utc(blob.LastModified), ArtifactBucket.Utc(used.LastModified)));
    }

    public Task<bool> KeepAsync(Digest digest, CancellationToken cancellation = default) => bucket.TouchAsync(Used + digest, cancellation);

    public async Task<bool> DeleteAsync(Digest digest, CancellationToken cancellation = default)
    {
        if (await FindAsync(digest, cancellation) is null)
            return false;
        await bucket.DeleteAsync(Used + digest, cancellation);
        await bucket.DeleteAsync(Blobs + digest, cancellation);
        return true;
    }

    public async Task<IReadOnlyCollection<Digest>> RemoveAsync(IReadOnlyCollection<Digest> digests, DateTimeOffset unused, CancellationToken cancellation = default)
    {
        var names = digests.Select(digest => digest.Value).ToHashSet(StringComparer.Ordinal);
        if (names.Count == 0)
            return [];
        // One page of their times, read anew, in place of a request for each.
        var (first, last) = (names.Min(StringComparer.Ordinal)!, names.Max(StringComparer.Ordinal));
        await foreach (var (name, _, time) in bucket.ListAsync(Used, cancellation, after: first[..^1]))
        {
            if (string.CompareOrdinal(name, last) > 0)
                break;
            if (time > unused)
                names.Remove(name);
        }
        await bucket.DeleteAsync(names.Select(name => Used + name), cancellation);
        await bucket.DeleteAsync(names.Select(name => Blobs + name), cancellation);
        return [.. names.Select(Digest.Parse)];
    }

    public async IAsyncEnumerable<BlobInfo> ListAsync([EnumeratorCancellation] CancellationToken cancellation = default)
    {
        // Both lists come in the order of the digests: they are merged, and never held.
        await using var used = bucket.ListAsync(Used, cancellation).GetAsyncEnumerator(cancellation);
        var more = await used.MoveNextAsync();
        await foreach (var (name, size, time) in bucket.ListAsync(Blobs, cancellation))
        {
            if (!Digest.TryParse(name, out var digest))
                continue;
            while (more && string.CompareOrdinal(used.Current.Name, name) < 0)
                more = await used.MoveNextAsync();
            yield return new BlobInfo(digest, size, more && used.Current.Name == name ? Later(time, used.Current.Time) : time);
        }
    }

    public async Task RemoveAbandonedAsync(DateTimeOffset before, CancellationToken cancellation = default)
    {
        var request = new ListMultipartUploadsRequest { BucketName = bucket.BucketName, Prefix = bucket.KeyOf(Blobs) };
        ListMultipartUploadsResponse page;
        do
        {
            page = await bucket.TryAsync("listed", s3 => s3.ListMultipartUploadsAsync(request, cancellation), cancellation);
            foreach (var upload in (page.MultipartUploads ?? []).Where(upload => ArtifactBucket.Utc(upload.Initiated) < before))
                await AbortAsync(upload, cancellation);
            (request.KeyMarker, request.UploadIdMarker) = (page.NextKeyMarker, page.NextUploadIdMarker);
        }
        while (page.IsTruncated == true);
    }

    /// <summary>Bytes are hashed before they are sent, so that they can be written under their digest and are sent only where they are not there yet.</summary>
    private async Task<BlobInfo> PutUnknownAsync(Stream content, CancellationToken cancellation)
    {
        if (!content.CanSeek)
        {
            await using var copy = await LocalCopy.OfAsync(content, cancellation);
            return await PutUnknownAsync(copy, cancellation);
        }
        var start = content.Position;
        var digest = await BlobReading.DigestAsync(content, cancellation);
        if (await KeepAsync(digest, cancellation))
            return new BlobInfo(digest, content.Position - start, DateTimeOffset.UtcNow);
        content.Position = start;
        return await PutAsync(content, digest, cancellation);
    }

    private Task<GetObjectResponse> GetAsync(Digest digest, ByteRange? range, CancellationToken cancellation) => bucket.TryAsync("read", async s3 =>
    {
        try
        {
            return await s3.GetObjectAsync(
                new GetObjectRequest { BucketName = bucket.BucketName, Key = bucket.KeyOf(Blobs + digest), ByteRange = range }, cancellation);
        }
        catch (AmazonS3Exception error) when (error.ErrorCode == "NoSuchKey")
        {
            // Removed by other means than these: nobody is to be told any longer that it is there.
            await bucket.DeleteAsync(Used + digest, cancellation);
            throw new BlobNotFoundException(digest);
        }
    }, cancellation);

    private async Task AbortAsync(MultipartUpload upload, CancellationToken cancellation) => await bucket.TryAsync("cleared", async s3 =>
    {
        try
        {
            return await s3.AbortMultipartUploadAsync(
                new AbortMultipartUploadRequest { BucketName = bucket.BucketName, Key = upload.Key, UploadId = upload.UploadId }, cancellation);
        }
        catch (AmazonS3Exception error) when (error.ErrorCode == "NoSuchUpload")
        {
            return null; // Another collector was quicker.
        }
    }, cancellation);

    private static DateTimeOffset Later(DateTimeOffset one, DateTimeOffset other) => one > other ? one : other;
}
