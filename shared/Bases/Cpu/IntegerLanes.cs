using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Qbb.Bases.Cpu;

/// <summary>Sums in 32-bit integers.</summary>
internal readonly unsafe struct IntegerLanes : IEightLanes<int>
{
    // vpsignd gives 0 for a sign of 0, hence the lowest bit.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Add(Vector256<int> sum, int* table, Vector256<int> index, Vector256<int> sign) =>
        sum + Avx2.Sign(Avx2.PermuteVar8x32(Vector256.LoadAligned(table), index), sign | Vector256<int>.One);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> ToSingle(Vector256<int> sum) => Vector256.ConvertToSingle(sum);
}
