namespace Qbb.Tests;

/// <summary>Damages files at random, the way transfers, disks and liars do.</summary>
internal static class Mutation
{
    private static readonly ulong[] Extremes =
        [0, 1, 2, 31, 255, 256, 65536, int.MaxValue, uint.MaxValue, 1UL << 40, 1UL << 60, long.MaxValue, 1UL << 63, ulong.MaxValue - 1,
            ulong.MaxValue];

    private static readonly string[] Numbers =
        ["0", "-1", "1e3", "1.5", "2147483648", "4294967296", "4611686018427387904", "9223372036854775807", "9223372036854775808",
            "18446744073709551616", "[]", "{}", "null", "\"x\"", ""];

    /// <summary>One to three random changes.</summary>
    public static byte[] Of(byte[] original, Random random)
    {
        var bytes = original;
        for (var count = random.Next(1, 4); count > 0 && bytes.Length > 0; count--)
            bytes = Once(bytes, random);
        return bytes;
    }

    private static byte[] Once(byte[] bytes, Random random) => random.Next(8) switch
    {
        0 => Flip(bytes, random),
        1 => bytes[..random.Next(bytes.Length)],
        2 => Overwrite(bytes, random.Next(bytes.Length), BitConverter.GetBytes(Extremes[random.Next(Extremes.Length)])),
        3 => Overwrite(bytes, random.Next(bytes.Length), BitConverter.GetBytes((uint)Extremes[random.Next(Extremes.Length)])),
        // Where the lengths of both formats are.
        4 => Overwrite(bytes, random.Next(4) * 8, BitConverter.GetBytes(Extremes[random.Next(Extremes.Length)])),
        5 => Splice(bytes, random),
        6 => ReplaceNumber(bytes, random),
        _ => Repeat(bytes, random),
    };

    private static byte[] Flip(byte[] bytes, Random random)
    {
        var changed = bytes.ToArray();
        for (var count = random.Next(1, 9); count > 0; count--)
            changed[random.Next(changed.Length)] ^= (byte)(1 << random.Next(8));
        return changed;
    }

    private static byte[] Overwrite(byte[] bytes, int at, byte[] with)
    {
        var changed = bytes.ToArray();
        with.AsSpan(0, Math.Clamp(changed.Length - at, 0, with.Length)).CopyTo(changed.AsSpan(Math.Min(at, changed.Length)));
        return changed;
    }

    /// <summary>Takes a piece out and puts another in its place.</summary>
    private static byte[] Splice(byte[] bytes, Random random)
    {
        var (start, end) = Range(bytes.Length, random);
        var (from, to) = Range(bytes.Length, random);
        return [.. bytes[..start], .. bytes[from..to], .. bytes[end..]];
    }

    private static byte[] Repeat(byte[] bytes, Random random)
    {
        var (start, end) = Range(bytes.Length, random);
        return [.. bytes[..end], .. bytes[start..]];
    }

    private static byte[] ReplaceNumber(byte[] bytes, Random random)
    {
        var start = Array.FindIndex(bytes, random.Next(bytes.Length), value => char.IsAsciiDigit((char)value));
        if (start < 0)
            return bytes;
        var end = Array.FindIndex(bytes, start, value => !char.IsAsciiDigit((char)value));
        return [.. bytes[..start], .. System.Text.Encoding.ASCII.GetBytes(Numbers[random.Next(Numbers.Length)]),
            .. bytes[(end < 0 ? bytes.Length : end)..]];
    }

    private static (int Start, int End) Range(int length, Random random)
    {
        var start = random.Next(length);
        return (start, Math.Min(length, start + random.Next(1, 200)));
    }
}
