using System.Buffers;
using System.Security.Cryptography;
using Amazon.S3.Model;
using Qbb.Contracts;

namespace Qbb.Artifacts.S3;

/// <summary>
/// One blob on its way up. Memory is bounded: parts are hashed as they are read, and a few of them are under way. The object appears all at once
/// when the last request has been answered, and that request is made only when the digest is right.
/// </summary>
internal sealed class S3Upload(ArtifactBucket bucket, string path, Digest digest)
{
    /// <summary>Parts that are sent at the same time; one more is being read.</summary>
    private const int MostUnderWay = 3;

    // S3 takes 10,000 parts of at least 5 MiB: parts grow so that a stream of unknown length, terabytes too, fits.
    private const int FirstPartBytes = 8 << 20;
    private const int PartsOfASize = 1000;
    private const int MostDoublings = 6;

    private readonly List<Task<PartETag>> _parts = [];

    /// <summary>Bytes of a part, by its number from 1.</summary>
    public static int PartBytes(int number) => FirstPartBytes << Math.Min((number - 1) / PartsOfASize, MostDoublings);

    /// <param name="content">Read to its end.</param>
    /// <param name="cancellation">Stops in the middle; nothing is left then.</param>
    /// <returns>The size.</returns>
    public async Task<long> RunAsync(Stream content, CancellationToken cancellation)
    {
        var first = ArrayPool<byte>.Shared.Rent(FirstPartBytes);
        int count;
        try
        {
            count = await content.ReadAtLeastAsync(first.AsMemory(0, FirstPartBytes), FirstPartBytes, throwOnEndOfStream: false, cancellation);
            if (count < FirstPartBytes)
            {
                await PutAsync(first, count, cancellation);
                ArrayPool<byte>.Shared.Return(first);
                return count;
            }
        }
        catch
        {
            ArrayPool<byte>.Shared.Return(first);
            throw;
        }
        return await SendPartsAsync(first, content, cancellation);
    }

    private async Task PutAsync(byte[] bytes, int count, CancellationToken cancellation)
    {
        Check(Digest.FromHash(SHA256.HashData(bytes.AsSpan(0, count))));
        await bucket.TryAsync("written", s3 => s3.PutObjectAsync(new PutObjectRequest
        {
            BucketName = bucket.BucketName,
            Key = bucket.KeyOf(path),
            InputStream = new MemoryStream(bytes, 0, count),
            // The service checks it too.
            ChecksumSHA256 = Convert.ToBase64String(Convert.FromHexString(digest.Value)),
        }, cancellation), cancellation);
    }

    private async Task<long> SendPartsAsync(byte[] first, Stream content, CancellationToken cancellation)
    {
        var id = (await bucket.TryAsync("written", s3 => s3.InitiateMultipartUploadAsync(
            new InitiateMultipartUploadRequest { BucketName = bucket.BucketName, Key = bucket.KeyOf(path) }, cancellation), cancellation)).UploadId;
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        try
        {
            var size = await ReadAsync(first, content, id, stop.Token);
            var parts = await Task.WhenAll(_parts);
            await bucket.TryAsync("written", s3 => s3.CompleteMultipartUploadAsync(new CompleteMultipartUploadRequest
            {
                BucketName = bucket.BucketName,
                Key = bucket.KeyOf(path),
                UploadId = id,
                PartETags = [.. parts],
            }, cancellation), cancellation);
            return size;
        }
        catch
        {
            // A part that arrives after the end would stay, and cost, for ever.
            await stop.CancelAsync();
            await Task.WhenAll(_parts).ContinueWith(_ => { }, TaskScheduler.Default);
            await AbortAsync(id);
            throw;
        }
    }

    private async Task<long> ReadAsync(byte[] first, Stream content, string id, CancellationToken cancellation)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var (size, buffer, count) = (0L, first, FirstPartBytes);
        while (count > 0)
        {
            size += count;
            hash.AppendData(buffer, 0, count);
            _parts.Add(SendAsync(buffer, count, id, _parts.Count + 1, cancellation));
            if (_parts.Count > MostUnderWay)
                await _parts[^(MostUnderWay + 1)];
            var bytes = PartBytes(_parts.Count + 1);
            buffer = ArrayPool<byte>.Shared.Rent(bytes);
            count = await content.ReadAtLeastAsync(buffer.AsMemory(0, bytes), bytes, throwOnEndOfStream: false, cancellation);
        }
        ArrayPool<byte>.Shared.Return(buffer);
        Check(Digest.FromHash(hash.GetHashAndReset()));
        return size;
    }

    private async Task<PartETag> SendAsync(byte[] buffer, int count, string id, int number, CancellationToken cancellation)
    {
        try
        {
            return new PartETag(await bucket.TryAsync("written", s3 => s3.UploadPartAsync(new UploadPartRequest
            {
                BucketName = bucket.BucketName,
                Key = bucket.KeyOf(path),
                UploadId = id,
                PartNumber = number,
                PartSize = count,
                InputStream = new MemoryStream(buffer, 0, count),
            }, cancellation), cancellation));
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private async Task AbortAsync(string id)
    {
        try
        {
            await bucket.TryAsync("cleared", s3 => s3.AbortMultipartUploadAsync(
                new AbortMultipartUploadRequest { BucketName = bucket.BucketName, Key = bucket.KeyOf(path), UploadId = id }), default);
        }
        catch (ArtifactStoreException)
        {
            // The error that led here is the one to tell; what stays is removed with the abandoned ones.
        }
    }

    private void Check(Digest actual)
    {
        if (actual != digest)
            throw new DigestMismatchException(digest, actual);
    }
}
