using System.Security.Cryptography;
using Qbb.Contracts;

namespace Qbb.Artifacts;

/// <summary>Reading that needs all of a stream and little memory.</summary>
internal static class BlobReading
{
    private const int BufferBytes = 1 << 20;

    /// <summary>Reads a stream that checks what it reads, to its end.</summary>
    public static Task VerifyAsync(Stream stream, CancellationToken cancellation) => stream.CopyToAsync(Stream.Null, BufferBytes, cancellation);

    /// <summary>The digest of what is left of a stream.</summary>
    public static async Task<Digest> DigestAsync(Stream stream, CancellationToken cancellation) =>
        Digest.FromHash(await SHA256.HashDataAsync(stream, cancellation));
}
