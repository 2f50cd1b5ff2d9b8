using System.Security.Cryptography;
using Qbb.Contracts;

namespace Qbb.Artifacts;

/// <summary>Reads a part of a blob; where it is the whole, the last read checks the digest of all that was read.</summary>
internal sealed class BlobStream(Stream inner, Digest digest, long length, bool verify) : Stream
{
    private IncrementalHash? _hash = verify ? IncrementalHash.CreateHash(HashAlgorithmName.SHA256) : null;
    private long _position;

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => length;

    public override long Position
    {
        get => _position;
        set => throw new NotSupportedException();
    }

    public override int Read(Span<byte> buffer)
    {
        var count = inner.Read(buffer[..Most(buffer.Length)]);
        Account(buffer[..count], buffer.Length);
        return count;
    }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        var count = await inner.ReadAsync(buffer[..Most(buffer.Length)], cancellationToken);
        Account(buffer.Span[..count], buffer.Length);
        return count;
    }

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            inner.Dispose();
            _hash?.Dispose();
        }
        base.Dispose(disposing);
    }

    private int Most(int wanted) => (int)Math.Min(wanted, length - _position);

    private void Account(ReadOnlySpan<byte> read, int wanted)
    {
        _position += read.Length;
        _hash?.AppendData(read);
        if (read.Length == 0 && wanted > 0 && _position < length)
            throw new ArtifactStoreException($"the artifact {digest} ends after {_position} of {length} bytes");
        if (_hash is null || _position < length)
            return;
        var actual = Digest.FromHash(_hash.GetHashAndReset());
        _hash.Dispose();
        _hash = null;
        if (actual != digest)
            throw new DigestMismatchException(digest, actual);
    }
}
