using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Qbb.Quantizer.Methods.Alternating;

/// <summary>
/// The weights of one group in rising order with running sums. The weights nearest to one level are then an interval: where it
/// begins and ends takes a binary search, how many it has and what they add up to a subtraction. A round of alternating
/// refinement so costs 2^N·log g instead of 2^N·g. Weights may differ in importance: sums are then of importance times weight.
/// </summary>
internal sealed class SortedGroup
{
    private readonly ulong[] _keys;
    private readonly float[] _values;
    private readonly double[] _sums;
    private readonly double[] _masses;
    private int _firstStep;

    /// <param name="capacity">The largest group that is loaded.</param>
    public SortedGroup(int capacity)
    {
        _keys = new ulong[capacity];
        // The search may look past the end: the room is filled with infinity.
        _values = new float[2 * (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)capacity + 1)];
        _sums = new double[capacity + 1];
        _masses = new double[capacity + 1];
        for (var j = 0; j < _masses.Length; j++)
            _masses[j] = j;
    }

    /// <summary>g.</summary>
    public int Length { get; private set; }

    /// <summary>Σ h·w², h the importance.</summary>
    public double Squares { get; private set; }

    /// <summary>The smallest weight.</summary>
    public float Smallest => _values[0];

    /// <summary>The largest weight.</summary>
    public float Largest => _values[Length - 1];

    /// <summary>Takes the weights of a group, at least one.</summary>
    /// <param name="w">[g]</param>
    /// <param name="importance">[g], positive; empty for 1 each, in which case all groups of one object must be so.</param>
    public void Load(ReadOnlySpan<float> w, ReadOnlySpan<double> importance = default)
    {
        Length = w.Length;
        var keys = _keys.AsSpan(0, w.Length);
        for (var j = 0; j < w.Length; j++)
        {
            // Bits of a float in an order that unsigned integers share; the column breaks ties, so the order is one and the same always.
            var bits = BitConverter.SingleToInt32Bits(w[j]);
            keys[j] = (ulong)((uint)(bits ^ bits >> 31 & 0x7FFF_FFFF) ^ 0x8000_0000u) << 32 | (uint)j;
        }
        keys.Sort();
        if (importance.IsEmpty)
            Accumulate(w);
        else
            Accumulate(w, importance);
        _firstStep = (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)w.Length + 1) / 2;
        _values.AsSpan(w.Length, 2 * _firstStep - w.Length).Fill(float.PositiveInfinity);
    }

    private void Accumulate(ReadOnlySpan<float> w)
    {
        double sum = 0, squares = 0;
        for (var j = 0; j < w.Length; j++)
        {
            var value = w[Column(j)];
            _values[j] = value;
            _sums[j] = sum;
            sum += value;
            squares += (double)value * value;
        }
        _sums[w.Length] = sum;
        Squares = squares;
    }

    private void Accumulate(ReadOnlySpan<float> w, ReadOnlySpan<double> importance)
    {
        double sum = 0, squares = 0, mass = 0;
        for (var j = 0; j < w.Length; j++)
        {
            var value = w[Column(j)];
            var weighted = importance[Column(j)] * value;
            _values[j] = value;
            (_sums[j], _masses[j]) = (sum, mass);
            sum += weighted;
            squares += weighted * value;
            mass += importance[Column(j)];
        }
        (_sums[w.Length], _masses[w.Length]) = (sum, mass);
        Squares = squares;
    }

    /// <summary>Column that the weight at a place of the order stands in.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Column(int place) => (int)(uint)_keys[place];

    /// <summary>Σ h·w of the weights at places [first, last).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public double Sum(int first, int last) => _sums[last] - _sums[first];

    /// <summary>Σ h of the weights at places [first, last); their number where all are of the same importance.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public double Mass(int first, int last) => _masses[last] - _masses[first];

    /// <summary>For every threshold, a multiple of 8 of them, the number of weights that are smaller.</summary>
    public unsafe void CountBelow(ReadOnlySpan<float> thresholds, Span<int> counts)
    {
        if (Avx2.IsSupported)
        {
            fixed (float* values = &MemoryMarshal.GetArrayDataReference(_values))
            {
                for (var k = 0; k < thresholds.Length; k += 8)
                    CountBelow(values - 1, Vector256.Create(thresholds.Slice(k, 8))).CopyTo(counts[k..]);
            }
            return;
        }
        for (var k = 0; k < thresholds.Length; k++)
        {
            var place = 0;
            for (var step = _firstStep; step > 0; step >>= 1)
                place += _values[place + step - 1] < thresholds[k] ? step : 0;
            counts[k] = place;
        }
    }

    /// <summary>Eight binary searches at once, without a branch.</summary>
    private unsafe Vector256<int> CountBelow(float* before, Vector256<float> thresholds)
    {
        var place = Vector256<int>.Zero;
        for (var step = _firstStep; step > 0; step >>= 1)
        {
            var next = place + Vector256.Create(step);
            var smaller = Vector256.LessThan(Avx2.GatherVector256(before, next, 4), thresholds).AsInt32();
            place += smaller & Vector256.Create(step);
        }
        return place;
    }
}
