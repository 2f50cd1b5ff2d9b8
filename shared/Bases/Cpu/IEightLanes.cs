using System.Runtime.Intrinsics;

namespace Qbb.Bases.Cpu;

/// <summary>What the AVX2 kernel does with sums of one type.</summary>
internal unsafe interface IEightLanes<T> where T : unmanaged
{
    /// <summary>sum + the table's entry by the low three bits of each index, negated where the sign's top bit is set.</summary>
    static abstract Vector256<T> Add(Vector256<T> sum, T* table, Vector256<int> index, Vector256<int> sign);

    static abstract Vector256<float> ToSingle(Vector256<T> sum);
}
