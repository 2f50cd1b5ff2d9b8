using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Qbb.Bases.Cpu;

/// <summary>
/// AVX2 by byte tables: the 16 sums of four inputs are rounded to 16 bits, with one step per token and segment, and looked up for 32 rows at once by vpshufb,
/// low and high bytes by themselves. Per 256 signs 19 instructions, a third of <see cref="Avx2Kernel{T, TLanes}"/>'s. A sum is off by some 1e-5
/// of the magnitudes that are summed.
/// </summary>
internal static unsafe class ByteKernel
{
    /// <summary>Bytes of lookup tables for one token and 32 columns: low and high bytes of eight tables.</summary>
    public const int TableBytesPerWord = 8 * 32;

    private const float Largest = short.MaxValue;

    private static readonly Vector256<uint>[] s_flips = [Flip(0), Flip(1), Flip(2)];

    /// <summary>Tables and steps of one token's inputs.</summary>
    /// <param name="layout">How columns are cut.</param>
    /// <param name="padded">Inputs with the columns that do not exist as 0, [words · 32].</param>
    /// <param name="tables">[words · 8, 2, 16], aligned to 32 bytes.</param>
    /// <param name="steps">[segments]: what one of an integer stands for.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Build(TileLayout layout, float* padded, byte* tables, Span<float> steps)
    {
        var (flip0, flip1, flip2) = (s_flips[0], s_flips[1], s_flips[2]);
        var low = Vector256.Create((short)0xff);
        for (var index = 0; index < layout.Segments.Length; index++)
        {
            var segment = layout.Segments[index];
            var x = padded + segment.FirstWord * TileLayout.WordColumns;
            var quads = segment.Words * 8;
            var largest = 0f;
            for (var quad = 0; quad < quads; quad++)
                largest = MathF.Max(largest, Vector128.Sum(Vector128.Abs(Vector128.Load(x + 4 * quad))));
            // Inputs that are no numbers make outputs that are none.
            var step = largest / Largest;
            var factor = step > 0 && float.IsFinite(1 / step) ? 1 / step : 0;
            steps[index] = !float.IsFinite(largest) ? float.NaN : factor > 0 ? step : 0;
            for (var quad = 0; quad < quads; quad++)
            {
                // The first eight have −x₃, the others are their negatives in reverse.
                var sum = (Vector256.Create(x[0]).AsUInt32() ^ flip0).AsSingle() + (Vector256.Create(x[1]).AsUInt32() ^ flip1).AsSingle()
                    + ((Vector256.Create(x[2]).AsUInt32() ^ flip2).AsSingle() - Vector256.Create(x[3]));
                var wide = Avx.ConvertToVector256Int32(sum * factor);
                var half = Vector128.Narrow(wide.GetLower(), wide.GetUpper());
                var all = Vector256.Create(half, Vector128.Shuffle(-half, Vector128.Create((short)7, 6, 5, 4, 3, 2, 1, 0)));
                Vector128.Narrow((all & low).AsUInt16().GetLower(), (all & low).AsUInt16().GetUpper()).StoreAligned(tables);
                var high = all >> 8;
                Vector128.Narrow(high.GetLower(), high.GetUpper()).AsByte().StoreAligned(tables + 16);
                x += 4;
                tables += 32;
            }
        }
    }

    /// <summary>Multiplies tiles [firstTile, lastTile) with some tokens.</summary>
    /// <param name="weights">The packed weight.</param>
    /// <param name="tokens">How many.</param>
    /// <param name="tables">Of token 0.</param>
    /// <param name="tableBytes">From one token's tables to the next.</param>
    /// <param name="steps">[tokens, segments]</param>
    /// <param name="sums">Σx of every segment, [tokens, segments].</param>
    /// <param name="y">[tokens, rows padded to tiles]</param>
    /// <param name="stride">Floats from one token to the next.</param>
    /// <param name="firstTile">First tile.</param>
    /// <param name="lastTile">The one behind the last.</param>
    public static void Run(ByteTiles weights, int tokens, byte* tables, long tableBytes, float* steps, float* sums, float* y, int stride, int firstTile, int lastTile)
    {
        var segments = weights.Layout.Segments.Length;
        foreach (ref readonly var panel in weights.Layout.Panels.AsSpan())
        {
            for (var tile = firstTile; tile < lastTile; tile++)
            {
                for (var token = 0; token < tokens; token++)
                {
                    OneToken(weights, panel, tile, tables + token * tableBytes + (long)panel.FirstWord * TableBytesPerWord,
                        steps + (long)token * segments, sums + (long)token * segments, y + (long)token * stride + tile * ByteTiles.Rows);
                }
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void OneToken(ByteTiles weights, in ColumnPanel panel, int tile, byte* table, float* steps, float* sums, float* y)
    {
        var layout = weights.Layout;
        var signs = weights.SignsAt(panel, tile);
        var scales = weights.ScalesAt(panel, tile);
        var (nibble, ones) = (Vector256.Create((byte)0x0f), Vector256.Create((byte)1));
        if (panel.FirstSegment == 0)
            new Span<float>(y, ByteTiles.Rows).Clear();
        for (var index = panel.FirstSegment; index < panel.FirstSegment + panel.Segments; index++)
        {
            var lines = ByteTiles.LinesOf(layout.Segments[index]);
            if (layout.HasBias)
            {
                for (var lane = 0; lane < ByteTiles.Rows; lane += 8)
                    Vector256.MultiplyAddEstimate(HalfLanes.Load8(scales + lane), Vector256.Create(sums[index]), Vector256.Load(y + lane)).Store(y + lane);
                scales += ByteTiles.Rows;
            }
            for (var basis = 0; basis < layout.Count; basis++)
            {
                // Pairs of bytes add up in 16 bits: 64 lines of 510 at most, or of ±256.
                Vector256<short> low0 = default, low1 = default, high0 = default, high1 = default;
                var t = table;
                for (var line = 0; line < lines; line++)
                {
                    var codes = Vector256.LoadAligned(signs);
                    Sse.Prefetch0(signs + 4096);
                    var first = codes & nibble;
                    var second = (codes.AsUInt16() >>> 4).AsByte() & nibble;
                    var lowFirst = Avx2.Shuffle(Avx2.BroadcastVector128ToVector256(t), first);
                    var lowSecond = Avx2.Shuffle(Avx2.BroadcastVector128ToVector256(t + 32), second);
                    low0 += Avx2.MultiplyAddAdjacent(Avx2.UnpackLow(lowFirst, lowSecond), ones.AsSByte());
                    low1 += Avx2.MultiplyAddAdjacent(Avx2.UnpackHigh(lowFirst, lowSecond), ones.AsSByte());
                    var highFirst = Avx2.Shuffle(Avx2.BroadcastVector128ToVector256(t + 16), first);
                    var highSecond = Avx2.Shuffle(Avx2.BroadcastVector128ToVector256(t + 48), second);
                    high0 += Avx2.MultiplyAddAdjacent(ones, Avx2.UnpackLow(highFirst, highSecond).AsSByte());
                    high1 += Avx2.MultiplyAddAdjacent(ones, Avx2.UnpackHigh(highFirst, highSecond).AsSByte());
                    t += 64;
                    signs += ByteTiles.Rows;
                }
                var step = Vector256.Create(steps[index]);
                // Unpacking leaves rows 0 to 7 and 16 to 23 in the first register, the others in the second.
                Add(y, scales, low0.GetLower(), high0.GetLower(), step);
                Add(y + 8, scales + 8, low1.GetLower(), high1.GetLower(), step);
                Add(y + 16, scales + 16, low0.GetUpper(), high0.GetUpper(), step);
                Add(y + 24, scales + 24, low1.GetUpper(), high1.GetUpper(), step);
                scales += ByteTiles.Rows;
            }
            table += (long)lines * 64;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add(float* y, Half* scales, Vector128<short> low, Vector128<short> high, Vector256<float> step)
    {
        var sum = Avx2.ConvertToVector256Int32(low.AsUInt16()) + (Avx2.ConvertToVector256Int32(high) << 8);
        Vector256.MultiplyAddEstimate(Vector256.ConvertToSingle(sum) * step, HalfLanes.Load8(scales), Vector256.Load(y)).Store(y);
    }

    private static Vector256<uint> Flip(int column)
    {
        var flips = new uint[8];
        for (var code = 0; code < flips.Length; code++)
            flips[code] = (code >> column & 1) != 0 ? 0 : 0x8000_0000;
        return Vector256.Create(flips);
    }
}
