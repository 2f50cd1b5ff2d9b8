using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Qbb.Bases.Cpu;

/// <summary>Half precision to single in lanes. .NET has no intrinsic for the processors' own instruction.</summary>
internal static unsafe class HalfLanes
{
    /// <summary>2^112: what the exponent of a half lacks when its bits stand in a single. Exact, for subnormal halves too.</summary>
    private const float Rebias = 5.192296858534828e33f;

    /// <summary>16 halves.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Load16(Half* halves)
    {
        var (lower, upper) = Vector256.Widen(Vector256.Load((ushort*)halves));
        var bits = Vector512.Create(lower, upper);
        var magnitude = ((bits & Vector512.Create(0x7FFFu)) << 13).AsSingle() * Vector512.Create(Rebias);
        return (magnitude.AsUInt32() | (bits & Vector512.Create(0x8000u)) << 16).AsSingle();
    }

    /// <summary>8 halves.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load8(Half* halves)
    {
        var (lower, upper) = Vector128.Widen(Vector128.Load((ushort*)halves));
        var bits = Vector256.Create(lower, upper);
        var magnitude = ((bits & Vector256.Create(0x7FFFu)) << 13).AsSingle() * Vector256.Create(Rebias);
        return (magnitude.AsUInt32() | (bits & Vector256.Create(0x8000u)) << 16).AsSingle();
    }
}
