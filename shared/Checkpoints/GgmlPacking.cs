using System.Buffers.Binary;

namespace Qbb.Checkpoints;

/// <summary>
/// Lays given levels out in ggml's blocks, the inverse of their decoding: nothing is rounded. A value is q·d + m (Q4_1, Q5_1), (q − 8)·d (Q4_0),
/// (q − 128)·d (Q8_0), (q − 1)·d (Q2_0) or (2q − 1)·d (Q1_0).
/// </summary>
public static class GgmlPacking
{
    /// <summary>Elements of a block.</summary>
    public static int BlockLength(string type) => GgmlTypes.Named(type).BlockLength;

    /// <summary>Bytes of a row.</summary>
    public static int RowBytes(string type, int elements) => elements / GgmlTypes.Named(type).BlockLength * GgmlTypes.Named(type).BlockBytes;

    /// <summary>ggml's number of a type.</summary>
    public static uint NumberOf(string type) => GgmlTypes.Numbers[type];

    /// <summary>Packs one block.</summary>
    /// <param name="type">Q4_0, Q4_1, Q5_1, Q8_0, Q1_0 or Q2_0.</param>
    /// <param name="levels">q of every element.</param>
    /// <param name="step">d.</param>
    /// <param name="minimum">m, where the type has one.</param>
    /// <param name="block">Gets the block.</param>
    public static void Pack(string type, ReadOnlySpan<int> levels, Half step, Half minimum, Span<byte> block)
    {
        block.Clear();
        BinaryPrimitives.WriteHalfLittleEndian(block, step);
        var half = levels.Length / 2;
        switch (type)
        {
            case "Q8_0":
                for (var j = 0; j < levels.Length; j++)
                    block[2 + j] = (byte)(sbyte)(levels[j] - 128);
                break;
            case "Q4_0":
                PackNibbles(levels, block[2..]);
                break;
            case "Q4_1":
                BinaryPrimitives.WriteHalfLittleEndian(block[2..], minimum);
                PackNibbles(levels, block[4..]);
                break;
            case "Q5_1":
                BinaryPrimitives.WriteHalfLittleEndian(block[2..], minimum);
                for (var j = 0; j < levels.Length; j++)
                    block[4 + j / 8] |= (byte)(levels[j] >> 4 << (j % 8));
                PackNibbles(levels, block[8..]);
                break;
            case "Q1_0":
                for (var j = 0; j < levels.Length; j++)
                    block[2 + j / 8] |= (byte)(levels[j] << (j % 8));
                break;
            case "Q2_0":
                for (var j = 0; j < levels.Length; j++)
                    block[2 + j / 4] |= (byte)(levels[j] << (2 * (j % 4)));
                break;
            default:
                throw new ArgumentException($"blocks of {type} are not packed");
        }

        // Low nibbles hold the first half.
        void PackNibbles(ReadOnlySpan<int> levels, Span<byte> to)
        {
            for (var j = 0; j < half; j++)
                to[j] = (byte)(levels[j] & 15 | (levels[half + j] & 15) << 4);
        }
    }

    /// <summary>What ggml makes of whole blocks.</summary>
    public static void Unpack(string type, ReadOnlySpan<byte> blocks, Span<float> destination) => GgmlTypes.Named(type).Decode!(blocks, destination);
}
