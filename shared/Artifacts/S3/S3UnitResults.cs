using System.Net;
using System.Runtime.CompilerServices;
using System.Text.Json;
using Amazon.S3;
using Amazon.S3.Model;
using Qbb.Contracts;

namespace Qbb.Artifacts.S3;

/// <summary>Unit results beside an S3 store: <c>units/abcd….json</c>. Which is the first is decided by a conditional write.</summary>
/// <param name="store">Where the results' files are.</param>
/// <param name="bucket">The store's.</param>
public sealed class S3UnitResults(IArtifactStore store, ArtifactBucket bucket) : IUnitResults
{
    private const string Units = "units/";
    private const string Ending = ".json";
    private const int MostBytes = 16 << 20;
    private const int AtOnce = 32;
    private const int Tries = 10;
    private static readonly TimeSpan s_between = TimeSpan.FromMilliseconds(100);

    public async Task<UnitResult?> FindAsync(Digest unit, CancellationToken cancellation = default)
    {
        if (await TryReadAsync(unit, cancellation) is not var (result, bytes) || !await ArtifactFolders.KeepAsync(store, result.Manifest, cancellation))
            return null;
        // Written again, it is as if used now.
        await bucket.PutAsync(PathOf(unit), bytes, cancellation);
        return result;
    }

    public async Task<UnitResult> RememberAsync(Digest unit, UnitResult result, CancellationToken cancellation = default)
    {
        var bytes = JsonSerializer.SerializeToUtf8Bytes(result, JsonSerializerOptions.Web);
        if (await TryAddAsync(unit, bytes, cancellation))
            return result;
        if (await FindAsync(unit, cancellation) is { } first)
            return first;
        await bucket.PutAsync(PathOf(unit), bytes, cancellation);
        return result;
    }

    public async Task<bool> ForgetAsync(Digest unit, CancellationToken cancellation = default)
    {
        var found = await bucket.FindAsync(PathOf(unit), cancellation) is not null;
        await bucket.DeleteAsync(PathOf(unit), cancellation);
        return found;
    }

    public async IAsyncEnumerable<(Digest Unit, UnitResult Result, DateTimeOffset LastUsed)> ListAsync(
        [EnumeratorCancellation] CancellationToken cancellation = default)
    {
        // One request each, so several at once.
        await foreach (var some in bucket.ListAsync(Units, cancellation).Chunk(AtOnce).WithCancellation(cancellation))
        {
            var read = await Task.WhenAll(some.Select(async found =>
                Digest.TryParse(Path.GetFileNameWithoutExtension(found.Name), out var unit) && await TryReadAsync(unit, cancellation) is var (result, _)
                    ? (Unit: unit, Result: result, found.Time)
                    : default));
            foreach (var found in read.Where(found => found.Result is not null))
                yield return found;
        }
    }

    private static string PathOf(Digest unit) => Units + unit + Ending;

    /// <summary>Writes what is not there yet; false where it is.</summary>
    private Task<bool> TryAddAsync(Digest unit, byte[] bytes, CancellationToken cancellation) => bucket.TryAsync("written", async s3 =>
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                await s3.PutObjectAsync(new PutObjectRequest
                {
                    BucketName = bucket.BucketName,
                    Key = bucket.KeyOf(PathOf(unit)),
                    InputStream = new MemoryStream(bytes),
                    IfNoneMatch = "*",
                }, cancellation);
                return true;
            }
            catch (AmazonS3Exception error) when (error.StatusCode == HttpStatusCode.PreconditionFailed)
            {
                return false;
            }
            catch (AmazonS3Exception error) when (error.StatusCode == HttpStatusCode.Conflict && attempt < Tries)
            {
                // Somebody is writing it at this moment: a little later it is there, or not.
                await Task.Delay(s_between, cancellation);
            }
        }
    }, cancellation);

    private Task<(UnitResult Result, byte[] Bytes)?> TryReadAsync(Digest unit, CancellationToken cancellation) =>
        bucket.TryAsync<(UnitResult, byte[])?>("read", async s3 =>
        {
            try
            {
                using var answer = await s3.GetObjectAsync(
                    new GetObjectRequest { BucketName = bucket.BucketName, Key = bucket.KeyOf(PathOf(unit)) }, cancellation);
                if (answer.ContentLength > MostBytes)
                    return null;
                var bytes = new byte[answer.ContentLength];
                await answer.ResponseStream.ReadExactlyAsync(bytes, cancellation);
                return JsonSerializer.Deserialize<UnitResult>(bytes, JsonSerializerOptions.Web) is { } result ? (result, bytes) : null;
            }
            catch (Exception error) when (error is JsonException or AmazonS3Exception { ErrorCode: "NoSuchKey" })
            {
                return null;
            }
        }, cancellation);
}
