using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Qbb.Checkpoints;

/// <summary>Checks that weights are fit to be worked on.</summary>
public static class WeightChecks
{
    /// <param name="name">The tensor, for the message.</param>
    /// <param name="values">Its elements.</param>
    /// <exception cref="InvalidInputException">One of them is NaN or infinite; the message names the tensor and the first such
    /// index.</exception>
    public static void ThrowIfNotFinite(string name, ReadOnlySpan<float> values)
    {
        var index = FirstNotFinite(values);
        if (index >= 0)
            throw new InvalidInputException(
                $"tensor {name} holds {values[index]} at index {index}; the weights are damaged, download the model again or take "
                    + "another one");
    }

    /// <summary>The index of the first NaN or infinity, or -1.</summary>
    public static int FirstNotFinite(ReadOnlySpan<float> values)
    {
        const int infinity = 0x7f80_0000;
        ref var first = ref MemoryMarshal.GetReference(values);
        var i = 0;
        for (; i <= values.Length - Vector256<float>.Count; i += Vector256<float>.Count)
        {
            var magnitude = Vector256.LoadUnsafe(ref first, (nuint)i).AsInt32() & Vector256.Create(int.MaxValue);
            if (Vector256.GreaterThanOrEqualAny(magnitude, Vector256.Create(infinity)))
                break;
        }
        for (; i < values.Length; i++)
        {
            if (!float.IsFinite(values[i]))
                return i;
        }
        return -1;
    }
}
