using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Qbb.Quantizer.Methods.Lattice;

/// <summary>
/// QuIP#'s codebooks of eight weights each. E8P, 16 bits: one of 256 vectors of odd halves (the 227 of |D8 + ½| with norm² ≤ 10, and 29 of
/// norm² 12), a sign for seven of its entries, the eighth's so that the sum is even, and a shift of all by ¼ or −¼. E8, 8 bits: the 241
/// elements of the lattice E8 with norm² ≤ 2, and 15 of norm² 4. Which of norm² 12 and 4 is our choice.
/// </summary>
internal static class E8Codebook
{
    /// <summary>Weights of one code.</summary>
    public const int Width = 8;

    private const int Entries = 256, Lanes = 8;
    private const float Shift = 0.25f;

    /// <summary>Entry i of vector k at [i·256 + k]: a lane is a vector.</summary>
    private static readonly float[] s_magnitudes = Transposed(Magnitudes());
    private static readonly float[] s_norms = Norms(s_magnitudes);

    /// <summary>What a flipped sign costs, in units of its product: 4 where the sum of the magnitudes asks for another parity of minus signs.</summary>
    private static readonly float[] s_flipIfEven = Flips(1), s_flipIfOdd = Flips(0);

    private static readonly float[] s_lattice = Transposed(Lattice());
    private static readonly float[] s_latticeNorms = Norms(s_lattice);

    /// <summary>The code of E8P nearest to x [8].</summary>
    public static ushort Nearest(ReadOnlySpan<float> x)
    {
        var (best, most) = ((ushort)0, float.NegativeInfinity);
        Span<float> sizes = stackalloc float[Width];
        for (var shift = 0; shift < 2; shift++)
        {
            var offset = shift == 0 ? Shift : -Shift;
            var (signs, norm) = (0, 0f);
            for (var i = 0; i < Width; i++)
            {
                var value = x[i] - offset;
                if (value < 0)
                    signs |= 1 << i;
                sizes[i] = Math.Abs(value);
                norm += value * value;
            }
            var (index, score) = Search(sizes, int.IsEvenInteger(System.Numerics.BitOperations.PopCount((uint)signs)) ? s_flipIfEven : s_flipIfOdd);
            if (score - norm <= most)
                continue;
            most = score - norm;
            // The flip itself: where it costs least.
            if (s_flipIfEven[index] > 0 == int.IsEvenInteger(System.Numerics.BitOperations.PopCount((uint)signs)))
            {
                var cheapest = 0;
                for (var i = 1; i < Width; i++)
                {
                    if (s_magnitudes[i * Entries + index] * sizes[i] < s_magnitudes[cheapest * Entries + index] * sizes[cheapest])
                        cheapest = i;
                }
                signs ^= 1 << cheapest;
            }
            best = (ushort)(index | (signs & 0x7F) << 8 | shift << 15);
        }
        return best;
    }

    /// <summary>The eight values of a code of E8P.</summary>
    public static void Decode(ushort code, Span<float> values)
    {
        var (index, signs, offset) = (code & 0xFF, code >> 8 & 0x7F, code >> 15 == 0 ? Shift : -Shift);
        // Flips of an even number of signs keep the parity that the vector asks for.
        if (int.IsEvenInteger(System.Numerics.BitOperations.PopCount((uint)signs)) == s_flipIfEven[index] > 0)
            signs |= 0x80;
        for (var i = 0; i < Width; i++)
        {
            var magnitude = s_magnitudes[i * Entries + index];
            values[i] = ((signs >> i & 1) == 0 ? magnitude : -magnitude) + offset;
        }
    }

    /// <summary>The code of E8 nearest to x [8].</summary>
    public static byte NearestOfLattice(ReadOnlySpan<float> x)
    {
        var (best, indices) = (Vector256.Create(float.NegativeInfinity), Vector256<int>.Zero);
        var (index, step) = (Vector256<int>.Indices, Vector256.Create(Lanes));
        ref var lattice = ref MemoryMarshal.GetArrayDataReference(s_lattice);
        ref var norms = ref MemoryMarshal.GetArrayDataReference(s_latticeNorms);
        for (nuint k = 0; k < Entries; k += Lanes, index += step)
        {
            var score = -Vector256.LoadUnsafe(ref norms, k);
            for (var i = 0; i < Width; i++)
                score = Vector256.FusedMultiplyAdd(Vector256.Create(2 * x[i]), Vector256.LoadUnsafe(ref lattice, k + (nuint)i * Entries), score);
            Take(score, index, ref best, ref indices);
        }
        return (byte)Best(best, indices).Index;
    }

    /// <summary>The eight values of a code of E8.</summary>
    public static void DecodeLattice(byte code, Span<float> values)
    {
        for (var i = 0; i < Width; i++)
            values[i] = s_lattice[i * Entries + code];
    }

    /// <summary>The vector of the largest 2·a·y − ‖a‖² − flip.</summary>
    private static (int Index, float Score) Search(ReadOnlySpan<float> sizes, float[] flips)
    {
        ref var magnitudes = ref MemoryMarshal.GetArrayDataReference(s_magnitudes);
        ref var norms = ref MemoryMarshal.GetArrayDataReference(s_norms);
        ref var flip = ref MemoryMarshal.GetArrayDataReference(flips);
        Vector256<float> y0 = Vector256.Create(sizes[0]), y1 = Vector256.Create(sizes[1]), y2 = Vector256.Create(sizes[2]), y3 = Vector256.Create(sizes[3]);
        Vector256<float> y4 = Vector256.Create(sizes[4]), y5 = Vector256.Create(sizes[5]), y6 = Vector256.Create(sizes[6]), y7 = Vector256.Create(sizes[7]);
        var (best, indices) = (Vector256.Create(float.NegativeInfinity), Vector256<int>.Zero);
        var (index, step) = (Vector256<int>.Indices, Vector256.Create(Lanes));
        for (nuint k = 0; k < Entries; k += Lanes, index += step)
        {
            var (p0, p1) = (Vector256.LoadUnsafe(ref magnitudes, k) * y0, Vector256.LoadUnsafe(ref magnitudes, k + Entries) * y1);
            var (p2, p3) = (Vector256.LoadUnsafe(ref magnitudes, k + 2 * Entries) * y2, Vector256.LoadUnsafe(ref magnitudes, k + 3 * Entries) * y3);
            var (p4, p5) = (Vector256.LoadUnsafe(ref magnitudes, k + 4 * Entries) * y4, Vector256.LoadUnsafe(ref magnitudes, k + 5 * Entries) * y5);
            var (p6, p7) = (Vector256.LoadUnsafe(ref magnitudes, k + 6 * Entries) * y6, Vector256.LoadUnsafe(ref magnitudes, k + 7 * Entries) * y7);
            var sum = p0 + p1 + (p2 + p3) + (p4 + p5 + (p6 + p7));
            var least = Vector256.MinNative(
                Vector256.MinNative(Vector256.MinNative(p0, p1), Vector256.MinNative(p2, p3)), Vector256.MinNative(Vector256.MinNative(p4, p5), Vector256.MinNative(p6, p7)));
            Take(sum + sum - Vector256.LoadUnsafe(ref norms, k) - Vector256.LoadUnsafe(ref flip, k) * least, index, ref best, ref indices);
        }
        return Best(best, indices);
    }

    private static void Take(Vector256<float> score, Vector256<int> index, ref Vector256<float> best, ref Vector256<int> indices)
    {
        var better = Vector256.GreaterThan(score, best);
        best = Vector256.ConditionalSelect(better, score, best);
        indices = Vector256.ConditionalSelect(better.AsInt32(), index, indices);
    }

    private static (int Index, float Score) Best(Vector256<float> best, Vector256<int> indices)
    {
        var lane = 0;
        for (var k = 1; k < Lanes; k++)
        {
            if (best[k] > best[lane] || best[k] == best[lane] && indices[k] < indices[lane])
                lane = k;
        }
        return (indices[lane], best[lane]);
    }

    private static List<float[]> Magnitudes()
    {
        var all = new List<float[]>();
        Span<int> odd = stackalloc int[Width];
        // Entries 1, 3 and 5 halves; more would go beyond norm² 12.
        for (var code = 0; code < 6561; code++)
        {
            var (rest, squares) = (code, 0);
            for (var i = 0; i < Width; i++, rest /= 3)
            {
                odd[i] = 1 + 2 * (rest % 3);
                squares += odd[i] * odd[i];
            }
            if (squares <= 40 || squares == 48 && !odd.Contains(5))
                all.Add([.. odd.ToArray().Select(value => value / 2f)]);
        }
        // Of the 56 of norm² 12 without an entry of 5/2, 29 that lie as evenly as their order gives.
        var large = all.Where(vector => vector.Sum(value => value * value) == 12).ToList();
        return [.. all.Except(large), .. Enumerable.Range(0, 29).Select(k => large[k * large.Count / 29])];
    }

    private static List<float[]> Lattice()
    {
        var all = new List<float[]> { new float[Width] };
        for (var i = 0; i < Width; i++)
        {
            for (var j = 0; j < i; j++)
            {
                for (var signs = 0; signs < 4; signs++)
                {
                    var vector = new float[Width];
                    (vector[i], vector[j]) = (1 - 2 * (signs & 1), 1 - (signs & 2));
                    all.Add(vector);
                }
            }
        }
        for (var signs = 0; signs < 256; signs++)
        {
            if (int.IsEvenInteger(System.Numerics.BitOperations.PopCount((uint)signs)))
                all.Add([.. Enumerable.Range(0, Width).Select(i => (signs >> i & 1) == 0 ? 0.5f : -0.5f)]);
        }
        for (var k = 0; k < 15; k++)
        {
            var vector = new float[Width];
            vector[k / 2] = k % 2 == 0 ? 2 : -2;
            all.Add(vector);
        }
        return all;
    }

    private static float[] Flips(int parity) =>
        [.. Enumerable.Range(0, Entries).Select(k => (int)Enumerable.Range(0, Width).Sum(i => s_magnitudes[i * Entries + k]) % 2 == parity ? 4f : 0)];

    private static float[] Norms(float[] transposed) =>
        [.. Enumerable.Range(0, Entries).Select(k => Enumerable.Range(0, Width).Sum(i => transposed[i * Entries + k] * transposed[i * Entries + k]))];

    private static float[] Transposed(List<float[]> vectors)
    {
        var values = new float[Width * Entries];
        foreach (var (k, vector) in vectors.Index())
        {
            for (var i = 0; i < Width; i++)
                values[i * Entries + k] = vector[i];
        }
        return vectors.Count == Entries ? values : throw new InvalidOperationException($"{vectors.Count} vectors");
    }
}
