using System.Runtime.Intrinsics;

namespace Qbb.Bases.Cpu;

/// <summary>The tables of <see cref="FloatTables"/> for int8 inputs: their entries, −508 to 508, are exact.</summary>
internal static unsafe class IntegerTables
{
    private static readonly Vector512<int>[] Flips = [Flip(0), Flip(1), Flip(2), Flip(3)];

    /// <summary>In 32 bits.</summary>
    /// <param name="x">[words · 32], −127 to 127.</param>
    /// <param name="words">Words of 32 columns.</param>
    /// <param name="tables">[words · 8, 16], aligned to 64 bytes.</param>
    public static void Build32(int* x, int words, int* tables)
    {
        for (var four = 0; four < words * 8; four++)
            Sums(x + 4 * four).StoreAligned(tables + 16 * four);
    }

    /// <summary>The first eight of each table alone, in 32 bits: the others are their negatives.</summary>
    /// <param name="x">[words · 32], −127 to 127.</param>
    /// <param name="words">Words of 32 columns.</param>
    /// <param name="tables">[words · 8, 8], aligned to 32 bytes.</param>
    public static void BuildEight(int* x, int words, int* tables)
    {
        for (var four = 0; four < words * 8; four++)
            Sums(x + 4 * four).GetLower().StoreAligned(tables + 8 * four);
    }

    /// <summary>In 16 bits, two tables side by side: of columns 4k to 4k + 3 and of columns 4k + 16 to 4k + 19 of a word.</summary>
    /// <param name="x">[words · 32], −127 to 127.</param>
    /// <param name="words">Words of 32 columns.</param>
    /// <param name="tables">[words · 4, 32], aligned to 64 bytes.</param>
    public static void Build16(int* x, int words, short* tables)
    {
        for (var word = 0; word < words; word++)
            for (var four = 0; four < 4; four++)
                Vector512.Narrow(Sums(x + word * 32 + four * 4), Sums(x + word * 32 + four * 4 + 16))
                    .StoreAligned(tables + (word * 4 + four) * 32);
    }

    private static Vector512<int> Sums(int* x) =>
        Signed(x[0], Flips[0]) + Signed(x[1], Flips[1]) + (Signed(x[2], Flips[2]) + Signed(x[3], Flips[3]));

    private static Vector512<int> Signed(int x, Vector512<int> flip) => (Vector512.Create(x) ^ flip) - flip;

    private static Vector512<int> Flip(int column)
    {
        var flips = new int[16];
        for (var code = 0; code < flips.Length; code++)
            flips[code] = NibbleCode.IsPositive(code, column) ? 0 : -1;
        return Vector512.Create(flips);
    }
}
