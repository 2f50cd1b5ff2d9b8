namespace Qbb.Artifacts.Tests;

/// <summary>Gives bytes in small pieces and once only, as a network does; may break off.</summary>
internal sealed class Trickle(byte[] bytes, int? breakAt = null, Action? broken = null) : MemoryStream(bytes)
{
    private const int MostAtOnce = 64 << 10;

    public override bool CanSeek => false;

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (breakAt is { } end && Position >= end)
        {
            broken?.Invoke();
            throw new EndOfStreamException("the sender broke off");
        }
        return base.ReadAsync(buffer[..Math.Min(buffer.Length, 1 + (int)(Position * 31 % MostAtOnce))], cancellationToken);
    }
}
