using System.Numerics;
using System.Runtime.InteropServices;

namespace Qbb.Checkpoints;

/// <summary>Decoders of plain little-endian numbers, shared by the formats. Integers beyond 2^24 and fp64 are rounded to fp32.</summary>
internal static class PlainTypes
{
    public static void Float32(ReadOnlySpan<byte> source, Span<float> destination) =>
        source.CopyTo(MemoryMarshal.AsBytes(destination));

    public static void Float16(ReadOnlySpan<byte> source, Span<float> destination) =>
        FloatConversion.HalfToSingle(MemoryMarshal.Cast<byte, ushort>(source), destination);

    public static void Bfloat16(ReadOnlySpan<byte> source, Span<float> destination) =>
        FloatConversion.Bfloat16ToSingle(MemoryMarshal.Cast<byte, ushort>(source), destination);

    public static void Number<T>(ReadOnlySpan<byte> source, Span<float> destination)
        where T : unmanaged, INumberBase<T>
    {
        var numbers = MemoryMarshal.Cast<byte, T>(source);
        for (var i = 0; i < destination.Length; i++)
            destination[i] = float.CreateTruncating(numbers[i]);
    }

    public static void Bool(ReadOnlySpan<byte> source, Span<float> destination)
    {
        for (var i = 0; i < destination.Length; i++)
            destination[i] = source[i] == 0 ? 0 : 1;
    }
}
