using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;

namespace Qbb.Checkpoints;

/// <summary>Bytes to read a header from.</summary>
internal interface IReadableBytes
{
    /// <summary>Of the file, for messages.</summary>
    string Path { get; }

    long Length { get; }

    ReadOnlySpan<byte> Slice(long offset, int length);
}

/// <summary>Reads a GGUF header from front to back; every length is checked against what is left of the file before it is used.</summary>
internal sealed class GgufCursor(IReadableBytes file)
{
    private const int MaxStringLength = 16 << 20;

    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    public long Position { get; private set; }

    public long Left => file.Length - Position;

    /// <param name="length">Bytes to take.</param>
    /// <param name="what">What they are, for the message.</param>
    public ReadOnlySpan<byte> Take(int length, string what)
    {
        if (length > Left)
            throw Error($"ends inside {what} (at byte {Position}); the file is cut off, download it again");
        var bytes = file.Slice(Position, length);
        Position += length;
        return bytes;
    }

    public uint UInt32(string what) => BinaryPrimitives.ReadUInt32LittleEndian(Take(4, what));

    public ulong UInt64(string what) => BinaryPrimitives.ReadUInt64LittleEndian(Take(8, what));

    /// <summary>A count of things of at least <paramref name="smallest"/> bytes each, which must fit what is left.</summary>
    public int Count(string what, int smallest, int most)
    {
        var count = UInt64(what);
        if (count > (ulong)(Left / smallest))
            throw Error($"claims {count} {what}, more than the {Left} bytes that follow can hold; it is cut off or damaged");
        if (count > (ulong)most)
            throw Error($"claims {count} {what}, more than the {most} allowed");
        return (int)count;
    }

    public string Text(string what, int most = MaxStringLength)
    {
        var bytes = Take(Count($"bytes of {what}", 1, most), what);
        try
        {
            return Strict.GetString(bytes);
        }
        catch (DecoderFallbackException e)
        {
            throw new InvalidInputException($"{file.Path}: {what} is not valid UTF-8; the file is damaged", e);
        }
    }

    public T[] Numbers<T>(int count, string what)
        where T : unmanaged =>
        MemoryMarshal.Cast<byte, T>(Take(checked(count * Marshal.SizeOf<T>()), what)).ToArray();

    public InvalidInputException Error(string what) => new($"{file.Path}: {what}");
}
