namespace Qbb.Artifacts.Tests;

/// <summary>Gives bytes in small pieces, as a network does; may break off.</summary>
internal sealed class Trickle(byte[] bytes, int? breakAt = null) : MemoryStream(bytes)
{
    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (breakAt is { } end && Position >= end)
            throw new EndOfStreamException("the sender broke off");
        return base.ReadAsync(buffer[..Math.Min(buffer.Length, 1 + (int)(Position % 4096))], cancellationToken);
    }
}
