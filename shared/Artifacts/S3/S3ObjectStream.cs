using Amazon.S3.Model;

namespace Qbb.Artifacts.S3;

/// <summary>An object's bytes on their way down; a connection that breaks is the store's error. Closes the answer that they come with.</summary>
internal sealed class S3ObjectStream(GetObjectResponse answer, ArtifactBucket bucket) : Stream
{
    private readonly Stream _inner = answer.ResponseStream;

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override int Read(Span<byte> buffer)
    {
        try
        {
            return _inner.Read(buffer);
        }
        catch (Exception error) when (ArtifactBucket.IsOfService(error))
        {
            throw Broken(error);
        }
    }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        try
        {
            return await _inner.ReadAsync(buffer, cancellationToken);
        }
        catch (Exception error) when (ArtifactBucket.IsOfService(error) && !cancellationToken.IsCancellationRequested)
        {
            throw Broken(error);
        }
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
            answer.Dispose();
        base.Dispose(disposing);
    }

    private StoreAwayException Broken(Exception error) => new($"{bucket.Name}: the connection broke: {error.GetBaseException().Message}; try again", error);
}
