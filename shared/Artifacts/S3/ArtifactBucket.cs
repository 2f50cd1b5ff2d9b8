using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using Amazon.Runtime;
using Amazon.S3;
using Amazon.S3.Model;

namespace Qbb.Artifacts.S3;

/// <summary>A part of a bucket, and what its errors mean.</summary>
/// <param name="client">Of the service that has the bucket; it belongs to the caller.</param>
/// <param name="name">The bucket.</param>
/// <param name="prefix">Before all keys: empty, or a path that ends with a slash.</param>
public sealed class ArtifactBucket(IAmazonS3 client, string name, string prefix = "")
{
    /// <summary>Keys that one request may name.</summary>
    private const int MostKeys = 1000;

    /// <summary>For messages.</summary>
    public string Name { get; } = $"s3://{name}/{prefix}";

    /// <summary>Looks whether the bucket is there and may be read.</summary>
    /// <exception cref="ArtifactStoreException">It is not, or the service does not answer.</exception>
    public Task ProbeAsync(CancellationToken cancellation = default) =>
        TryAsync("read", s3 => s3.ListObjectsV2Async(new ListObjectsV2Request { BucketName = name, Prefix = prefix, MaxKeys = 1 }, cancellation), cancellation);

    internal string KeyOf(string path) => prefix + path;

    internal string BucketName => name;

    /// <summary>Asks the service; its refusals and a service that is away become the store's errors.</summary>
    /// <param name="what">What does not work then: "read", "written".</param>
    /// <param name="call">The request.</param>
    /// <param name="cancellation">The caller's, whose end is not an error of the store.</param>
    internal async Task<T> TryAsync<T>(string what, Func<IAmazonS3, Task<T>> call, CancellationToken cancellation)
    {
        try
        {
            return await call(client);
        }
        catch (Exception error) when (IsOfService(error) && !cancellation.IsCancellationRequested)
        {
            var message = $"{Name}: cannot be {what}: {ReasonOf(error)}";
            throw IsFull(error) ? new StoreFullException(message, error)
                : IsAway(error) ? new StoreAwayException(message, error)
                : new ArtifactStoreException(message, error);
        }
    }

    /// <summary>Puts an object of few bytes.</summary>
    internal Task PutAsync(string path, byte[] bytes, CancellationToken cancellation) => TryAsync("written", s3 => s3.PutObjectAsync(
        new PutObjectRequest { BucketName = name, Key = KeyOf(path), InputStream = new MemoryStream(bytes) }, cancellation), cancellation);

    /// <summary>Size and time of an object; null where it is not there.</summary>
    internal Task<GetObjectMetadataResponse?> FindAsync(string path, CancellationToken cancellation) => TryAsync("read", async s3 =>
    {
        try
        {
            return await s3.GetObjectMetadataAsync(new GetObjectMetadataRequest { BucketName = name, Key = KeyOf(path) }, cancellation);
        }
        // The answer to HEAD has no body that would tell a missing object from a missing bucket; other calls find the latter out.
        catch (AmazonS3Exception error) when (error.StatusCode == HttpStatusCode.NotFound)
        {
            return null;
        }
    }, cancellation);

    /// <summary>Gives an object the time of now, by a copy of it onto itself; false where it is not there.</summary>
    internal Task<bool> TouchAsync(string path, CancellationToken cancellation) => TryAsync("written", async s3 =>
    {
        try
        {
            await s3.CopyObjectAsync(new CopyObjectRequest
            {
                SourceBucket = name,
                SourceKey = KeyOf(path),
                DestinationBucket = name,
                DestinationKey = KeyOf(path),
                // Without it S3 refuses a copy that changes nothing.
                MetadataDirective = S3MetadataDirective.REPLACE,
            }, cancellation);
            return true;
        }
        catch (AmazonS3Exception error) when (error.ErrorCode == "NoSuchKey")
        {
            return false;
        }
    }, cancellation);

    /// <summary>Deletes objects, a thousand a request; they need not be there.</summary>
    internal async Task DeleteAsync(IEnumerable<string> paths, CancellationToken cancellation)
    {
        foreach (var some in paths.Chunk(MostKeys))
        {
            await TryAsync("deleted from", s3 => s3.DeleteObjectsAsync(
                new DeleteObjectsRequest { BucketName = name, Quiet = true, Objects = [.. some.Select(path => new KeyVersion { Key = KeyOf(path) })] }, cancellation), cancellation);
        }
    }

    /// <summary>Deletes an object; it need not be there.</summary>
    internal Task DeleteAsync(string path, CancellationToken cancellation) => TryAsync("deleted from",
        s3 => s3.DeleteObjectAsync(new DeleteObjectRequest { BucketName = name, Key = KeyOf(path) }, cancellation), cancellation);

    /// <summary>All objects below a path, in the order of their keys, as S3 lists them. Names are those after the path.</summary>
    /// <param name="path">Ends with a slash.</param>
    /// <param name="cancellation">Stops.</param>
    /// <param name="after">Only names behind this one.</param>
    internal async IAsyncEnumerable<(string Name, long Size, DateTimeOffset Time)> ListAsync(
        string path, [EnumeratorCancellation] CancellationToken cancellation, string? after = null)
    {
        var request = new ListObjectsV2Request { BucketName = name, Prefix = KeyOf(path), StartAfter = after is null ? null : KeyOf(path + after) };
        ListObjectsV2Response page;
        do
        {
            page = await TryAsync("listed", s3 => s3.ListObjectsV2Async(request, cancellation), cancellation);
            foreach (var found in page.S3Objects ?? [])
                yield return (found.Key[request.Prefix.Length..], found.Size ?? 0, Utc(found.LastModified));
            request.ContinuationToken = page.NextContinuationToken;
        }
        while (page.IsTruncated == true);
    }

    internal static DateTimeOffset Utc(DateTime? time) => new(time?.ToUniversalTime() ?? default, TimeSpan.Zero);

    // A connection that is reset as soon as it is made is a bare SocketException.
    internal static bool IsOfService(Exception error) => error is AmazonServiceException or AmazonClientException or HttpRequestException or IOException
        or SocketException or TimeoutException or OperationCanceledException;

    // Amazon's never is; others say so in words of their own.
    private static bool IsFull(Exception error) => error is AmazonS3Exception refused
        && (refused.StatusCode == HttpStatusCode.InsufficientStorage || refused.ErrorCode is "QuotaExceeded" or "XMinioStorageFull");

    // No answer at all, one that says: later, or one that was cut off: success that cannot be read, or a refusal without the code that its body has.
    // An upload that is no longer there was completed by a request whose answer was lost.
    private static bool IsAway(Exception error) => error is not AmazonServiceException { StatusCode: var status and not 0 } refused
        || status is >= HttpStatusCode.InternalServerError or HttpStatusCode.TooManyRequests or < HttpStatusCode.Ambiguous
        || refused.ErrorCode is "RequestTimeout" or "IncompleteBody" or "NoSuchUpload"
        || (error is AmazonS3Exception { ResponseBody: var body } && refused.ErrorCode == $"{status}" && (status == HttpStatusCode.NotFound || body?.Length > 0));

    private string ReasonOf(Exception error) => error switch
    {
        AmazonS3Exception { ErrorCode: "NoSuchBucket" } => $"there is no bucket {name}; create it, or correct the name",
        AmazonS3Exception { ErrorCode: "InvalidAccessKeyId" or "SignatureDoesNotMatch" or "ExpiredToken" or "InvalidToken" } refused =>
            $"the credentials are refused ({refused.ErrorCode}); correct them",
        AmazonS3Exception refused when IsFull(refused) => $"no room is left ({refused.ErrorCode}); make some, or raise the quota",
        AmazonS3Exception { StatusCode: HttpStatusCode.Forbidden } refused =>
            $"access is denied ({refused.ErrorCode}); allow these credentials to list the bucket and to read, write and delete its objects",
        AmazonS3Exception { ErrorCode: "PermanentRedirect" or "AuthorizationHeaderMalformed" or "IllegalLocationConstraintException" } =>
            "the bucket is in another region; correct the region",
        AmazonServiceException { ErrorCode.Length: > 0 } refused => $"{refused.Message} ({refused.ErrorCode})",
        OperationCanceledException => "no answer in time",
        _ => error.GetBaseException().Message,
    };
}
