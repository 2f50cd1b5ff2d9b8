namespace Qbb.Checkpoints;

/// <summary>Turns whole blocks into floats; <c>source</c> holds destination.Length / BlockLength blocks.</summary>
internal delegate void BlockDecoder(ReadOnlySpan<byte> source, Span<float> destination);

/// <summary>How a file keeps numbers: in blocks of <paramref name="BlockLength"/> elements over <paramref name="BlockBytes"/>
/// bytes.</summary>
/// <param name="Name">As the format spells it.</param>
/// <param name="BlockLength">1 for plain types.</param>
/// <param name="BlockBytes">For plain types the size of an element.</param>
/// <param name="Decode">Null for a type that is recognised but cannot be read.</param>
/// <param name="IsPlain">Whether the bytes are an array of numbers, as opposed to quantised blocks.</param>
internal sealed record StoredType(string Name, int BlockLength, int BlockBytes, BlockDecoder? Decode, bool IsPlain)
{
    public static StoredType Plain(string name, int bytes, BlockDecoder? decode) => new(name, 1, bytes, decode, true);

    public static StoredType Blocks(string name, int length, int bytes, BlockDecoder? decode) => new(name, length, bytes, decode, false);
}
