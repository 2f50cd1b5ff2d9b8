using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Qbb.Bases.Cpu;

/// <summary>Sums in fp32.</summary>
internal readonly unsafe struct FloatLanes : IEightLanes<float>
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Add(Vector256<float> sum, float* table, Vector256<int> index, Vector256<int> sign) =>
        sum + (Avx2.PermuteVar8x32(Vector256.LoadAligned(table), index).AsInt32() ^ sign & Vector256.Create(int.MinValue)).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> ToSingle(Vector256<float> sum) => sum;
}
