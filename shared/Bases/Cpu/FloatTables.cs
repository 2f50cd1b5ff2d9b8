using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Qbb.Bases.Cpu;

/// <summary>Tables of the 16 sums ±x0 ±x1 ±x2 ±x3, by <see cref="NibbleCode"/>, of every four columns.</summary>
internal static unsafe class FloatTables
{
    private static readonly Vector512<uint>[] Flips = [Flip(0), Flip(1), Flip(2), Flip(3)];

    /// <param name="x">[words · 32]</param>
    /// <param name="words">Words of 32 columns.</param>
    /// <param name="tables">[words · 8, 16], aligned to 64 bytes.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Build(float* x, int words, float* tables)
    {
        var (flip0, flip1, flip2, flip3) = (Flips[0], Flips[1], Flips[2], Flips[3]);
        for (var four = 0; four < words * 8; four++)
        {
            var left = Signed(x[0], flip0) + Signed(x[1], flip1);
            var right = Signed(x[2], flip2) + Signed(x[3], flip3);
            (left + right).StoreAligned(tables);
            x += 4;
            tables += 16;
        }
    }

    /// <summary>The first eight of each table alone: the others are their negatives.</summary>
    /// <param name="x">[words · 32]</param>
    /// <param name="words">Words of 32 columns.</param>
    /// <param name="tables">[words · 8, 8], aligned to 32 bytes.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void BuildEight(float* x, int words, float* tables)
    {
        var (flip0, flip1, flip2, flip3) = (Flips[0].GetLower(), Flips[1].GetLower(), Flips[2].GetLower(), Flips[3].GetLower());
        for (var four = 0; four < words * 8; four++)
        {
            var left = (Vector256.Create(x[0]).AsUInt32() ^ flip0).AsSingle() + (Vector256.Create(x[1]).AsUInt32() ^ flip1).AsSingle();
            var right = (Vector256.Create(x[2]).AsUInt32() ^ flip2).AsSingle() + (Vector256.Create(x[3]).AsUInt32() ^ flip3).AsSingle();
            (left + right).StoreAligned(tables);
            x += 4;
            tables += 8;
        }
    }

    private static Vector512<float> Signed(float x, Vector512<uint> flip) => (Vector512.Create(x).AsUInt32() ^ flip).AsSingle();

    private static Vector512<uint> Flip(int column)
    {
        var flips = new uint[16];
        for (var code = 0; code < flips.Length; code++)
            flips[code] = NibbleCode.IsPositive(code, column) ? 0 : 0x8000_0000;
        return Vector512.Create(flips);
    }
}
