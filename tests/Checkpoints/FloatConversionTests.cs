using Qbb.Checkpoints;

namespace Qbb.Checkpoints.Tests;

public class FloatConversionTests
{
    [Fact]
    public void Every_fp16_number_is_widened_exactly()
    {
        var bits = AllBits();
        var actual = new float[bits.Length];
        FloatConversion.HalfToSingle(bits, actual);
        for (var i = 0; i < bits.Length; i++)
            SameNumber(actual[i], (float)BitConverter.UInt16BitsToHalf(bits[i]), i);
    }

    [Fact]
    public void Every_bf16_number_is_widened_exactly()
    {
        var bits = AllBits();
        var actual = new float[bits.Length];
        FloatConversion.Bfloat16ToSingle(bits, actual);
        for (var i = 0; i < bits.Length; i++)
            BitConverter.SingleToUInt32Bits(actual[i]).ShouldBe((uint)bits[i] << 16);
    }

    [Fact]
    public void Rounding_to_fp16_is_that_of_the_runtime()
    {
        var values = Samples(seed: 11);
        var actual = new ushort[values.Length];
        var overflow = FloatConversion.SingleToHalf(values, actual);
        for (var i = 0; i < values.Length; i++)
            SameNumber((float)BitConverter.UInt16BitsToHalf(actual[i]), (float)(Half)values[i], i);
        overflow.ShouldBe(Array.FindIndex(values, value => float.IsFinite(value) && Half.IsInfinity((Half)value)));
    }

    [Fact]
    public void Rounding_to_bf16_takes_the_nearest_and_the_even_one_of_two()
    {
        var values = Samples(seed: 12);
        var actual = new ushort[values.Length];
        var overflow = FloatConversion.SingleToBfloat16(values, actual);
        for (var i = 0; i < values.Length; i++)
            SameNumber(BitConverter.UInt32BitsToSingle((uint)actual[i] << 16), ReferenceBfloat16(values[i]), i);
        overflow.ShouldBe(Array.FindIndex(values, value => float.IsFinite(value) && float.IsInfinity(ReferenceBfloat16(value))));
    }

    [Fact]
    public void Every_16_bit_number_survives_the_way_there_and_back()
    {
        var bits = AllBits();
        var (wide, back) = (new float[bits.Length], new ushort[bits.Length]);
        FloatConversion.HalfToSingle(bits, wide);
        FloatConversion.SingleToHalf(wide, back).ShouldBe(-1);
        for (var i = 0; i < bits.Length; i++)
            SameNumber((float)BitConverter.UInt16BitsToHalf(back[i]), (float)BitConverter.UInt16BitsToHalf(bits[i]), i);
        FloatConversion.Bfloat16ToSingle(bits, wide);
        FloatConversion.SingleToBfloat16(wide, back).ShouldBe(-1);
        for (var i = 0; i < bits.Length; i++)
            SameNumber(BitConverter.UInt32BitsToSingle((uint)back[i] << 16), BitConverter.UInt32BitsToSingle((uint)bits[i] << 16), i);
    }

    [Fact]
    public void Lengths_must_agree()
    {
        Should.Throw<ArgumentException>(() => FloatConversion.HalfToSingle(new ushort[3], new float[2]));
        Should.Throw<ArgumentException>(() => FloatConversion.SingleToHalf(new float[3], new ushort[4]));
    }

    private static ushort[] AllBits() => [.. Enumerable.Range(0, 1 << 16).Select(i => (ushort)i)];

    /// <summary>Random bits, and the neighbourhood of every fp16 number and of every middle between two.</summary>
    private static float[] Samples(int seed)
    {
        var random = new Random(seed);
        var values = new List<float>();
        for (var i = 0; i < 100_003; i++)
            values.Add(BitConverter.Int32BitsToSingle(random.Next(int.MinValue, int.MaxValue)));
        for (var i = 0; i < 1 << 16; i++)
        {
            var number = (float)BitConverter.UInt16BitsToHalf((ushort)i);
            var middle = (number + (float)BitConverter.UInt16BitsToHalf((ushort)(i + 1))) / 2;
            values.AddRange([number, middle, MathF.BitIncrement(middle), MathF.BitDecrement(middle)]);
        }
        values.AddRange([65519.99f, 65520f, -65520f, 3.3895314e38f, 3.39e38f, float.MaxValue, float.Epsilon, -0f]);
        return [.. values];
    }

    private static float ReferenceBfloat16(float value)
    {
        if (!float.IsFinite(value))
            return value;
        var bits = BitConverter.SingleToUInt32Bits(value);
        var (down, up) = (bits & 0xffff_0000, (bits & 0xffff_0000) + 0x1_0000);
        var rest = bits & 0xffff;
        var isUp = rest > 0x8000 || (rest == 0x8000 && (up >> 16) % 2 == 0);
        return BitConverter.UInt32BitsToSingle(isUp ? up : down);
    }

    private static void SameNumber(float actual, float expected, int index)
    {
        var same = float.IsNaN(expected) ? float.IsNaN(actual)
            : BitConverter.SingleToUInt32Bits(actual) == BitConverter.SingleToUInt32Bits(expected);
        if (!same)
            Assert.Fail($"number {index}: {actual:G9} instead of {expected:G9}");
    }
}
