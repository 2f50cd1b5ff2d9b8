using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using static Qbb.Bases.Cpu.TileLayout;

namespace Qbb.Bases.Cpu;

/// <summary>
/// y = Ŵx for many tokens: the weights of a panel are expanded once into [columns, 16 rows], which stay in the first-level cache, and multiplied
/// with every token. A sign costs three instructions once, and a weight one multiplication a token, where lookups cost the same for every token.
/// </summary>
internal static unsafe class ExpandedProduct
{
    /// <summary>Floats of scratch memory: two tiles of a panel.</summary>
    public const int PanelFloats = 2 * PanelColumns * TileRows;

    /// <summary>The fewest tokens for which it is quicker than lookups.</summary>
    /// <param name="instructions">Instructions of the kernel.</param>
    /// <param name="count">N.</param>
    public static int FewestTokens(CpuInstructions instructions, int count) => instructions switch
    {
        CpuInstructions.Avx512 => count >= 3 ? 24 : 64,
        CpuInstructions.Avx2 => count >= 3 ? 20 : 32,
        _ => 8,
    };

    /// <summary>Outputs of tiles [firstTile, lastTile), of 16 rows.</summary>
    /// <param name="weights">The packed weight.</param>
    /// <param name="x">[tokens, in], <paramref name="xStride"/> floats apart.</param>
    /// <param name="xStride">Floats from one token to the next.</param>
    /// <param name="tokens">How many.</param>
    /// <param name="y">[tokens, rows padded to tiles], <paramref name="yStride"/> floats apart.</param>
    /// <param name="yStride">Floats from one token to the next.</param>
    /// <param name="firstTile">First tile.</param>
    /// <param name="lastTile">The one behind the last.</param>
    /// <param name="panel">Scratch memory of <see cref="PanelFloats"/>, at a cache line.</param>
    /// <param name="wide">Whether the processor has registers of 512 bits.</param>
    public static void Multiply(PackedBases weights, float* x, int xStride, int tokens, float* y, int yStride, int firstTile, int lastTile, float* panel, bool wide)
    {
        for (var tile = firstTile; tile < lastTile; tile += 2)
        {
            var pair = tile + 1 < lastTile;
            foreach (ref readonly var part in weights.Layout.Panels.AsSpan())
            {
                var columns = Expand(weights, part, tile, panel);
                if (pair)
                    Expand(weights, part, tile + 1, panel + PanelColumns * TileRows);
                Multiply(panel, pair, columns, x + weights.Layout.Segments[part.FirstSegment].FirstColumn, xStride, tokens, y + tile * TileRows, yStride, part.FirstSegment == 0, wide);
            }
        }
    }

    /// <summary>The same of tiles of 32 rows.</summary>
    public static void Multiply(ByteTiles weights, float* x, int xStride, int tokens, float* y, int yStride, int firstTile, int lastTile, float* panel, bool wide)
    {
        for (var tile = firstTile; tile < lastTile; tile++)
        {
            foreach (ref readonly var part in weights.Layout.Panels.AsSpan())
            {
                var columns = Expand(weights, part, tile, panel);
                Multiply(panel, true, columns, x + weights.Layout.Segments[part.FirstSegment].FirstColumn, xStride, tokens, y + tile * ByteTiles.Rows, yStride, part.FirstSegment == 0, wide);
            }
        }
    }

    private static void Multiply(float* panel, bool pair, int columns, float* x, int xStride, int tokens, float* y, int yStride, bool starts, bool wide)
    {
        var other = panel + PanelColumns * TileRows;
        if (wide && pair)
        {
            Wide(panel, other, columns, x, xStride, tokens, y, yStride, starts);
            return;
        }
        Narrow(panel, columns, x, xStride, tokens, y, yStride, starts);
        if (pair)
            Narrow(other, columns, x, xStride, tokens, y + TileRows, yStride, starts);
    }

    /// <summary>The weights of a tile's 32 rows in a panel, twice [columns, 16]; returns the columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    internal static int Expand(ByteTiles weights, in ColumnPanel part, int tile, float* panel)
    {
        var layout = weights.Layout;
        var top = Vector256.Create(0x8000_0000u);
        var columns = 0;
        for (var octet = 0; octet < 4; octet++)
        {
            var signs = weights.SignsAt(part, tile) + octet * 8;
            var scales = weights.ScalesAt(part, tile) + octet * 8;
            // Rows 0 to 15 come first, then 16 to 31.
            var to = panel + octet / 2 * PanelColumns * TileRows + octet % 2 * 8;
            columns = 0;
            for (var index = part.FirstSegment; index < part.FirstSegment + part.Segments; index++)
            {
                ref readonly var segment = ref layout.Segments[index];
                var bias = Vector256<float>.Zero;
                if (layout.HasBias)
                {
                    bias = HalfLanes.Load8(scales);
                    scales += ByteTiles.Rows;
                }
                for (var basis = 0; basis < layout.Count; basis++)
                {
                    var alpha = HalfLanes.Load8(scales).AsUInt32();
                    var place = to;
                    for (var column = 0; column < segment.Columns; column += ByteTiles.LineColumns)
                    {
                        var bytes = Vector128.CreateScalar(*(ulong*)signs).AsByte();
                        var (lower, upper) = Vector128.Widen(Vector128.WidenLower(bytes));
                        // Set where the sign is −.
                        var bits = ~Vector256.Create(lower, upper);
                        var last = Math.Min(ByteTiles.LineColumns, segment.Columns - column);
                        for (var k = 0; k < last; k++)
                        {
                            var value = ((bits << 31 - k & top) ^ alpha).AsSingle();
                            (value + (basis == 0 ? bias : Vector256.LoadAligned(place))).StoreAligned(place);
                            place += TileRows;
                        }
                        signs += ByteTiles.Rows;
                    }
                    // Lines of columns that do not exist.
                    signs += (ByteTiles.LinesOf(segment) - (segment.Columns + ByteTiles.LineColumns - 1) / ByteTiles.LineColumns) * ByteTiles.Rows;
                    scales += ByteTiles.Rows;
                }
                to += segment.Columns * TileRows;
                columns += segment.Columns;
            }
        }
        return columns;
    }

    /// <summary>The weights of a tile's 16 rows in a panel, [columns, 16]; returns the columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    internal static int Expand(PackedBases weights, in ColumnPanel part, int tile, float* panel)
    {
        var layout = weights.Layout;
        var signs = weights.Signs + layout.SignsAt(part, tile);
        var scales = weights.Scales + layout.ScalesAt(part, tile);
        var begin = panel;
        for (var index = part.FirstSegment; index < part.FirstSegment + part.Segments; index++)
        {
            ref readonly var segment = ref layout.Segments[index];
            var (left, right) = (Vector256<float>.Zero, Vector256<float>.Zero);
            if (layout.HasBias)
            {
                (left, right) = (HalfLanes.Load8(scales), HalfLanes.Load8(scales + 8));
                scales += TileRows;
            }
            for (var basis = 0; basis < layout.Count; basis++)
            {
                Add(signs, segment, HalfLanes.Load8(scales), HalfLanes.Load8(scales + 8), left, right, panel, basis == 0);
                signs += segment.Words * TileRows;
                scales += TileRows;
            }
            panel += segment.Columns * TileRows;
        }
        return (int)(panel - begin) / TileRows;
    }

    /// <summary>Adds one plane of a segment to the panel, or begins with the bias.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Add(uint* signs, in ColumnSegment segment, Vector256<float> alphaLeft, Vector256<float> alphaRight, Vector256<float> left, Vector256<float> right, float* panel, bool starts)
    {
        var lowest = Vector256.Create(0x1111_1111u);
        var top = Vector256.Create(0x8000_0000u);
        for (var word = 0; word < segment.Words; word++)
        {
            // Codes back to signs, and a bit that is set where the sign is −.
            var (a, b) = (Vector256.LoadAligned(signs), Vector256.LoadAligned(signs + 8));
            var (highA, highB) = (a >>> 3 & lowest, b >>> 3 & lowest);
            a = ~(a ^ (highA << 3) - highA);
            b = ~(b ^ (highB << 3) - highB);
            var columns = Math.Min(WordColumns, segment.Columns - word * WordColumns);
            for (var column = 0; column < columns; column++)
            {
                var (one, two) = ((a << 31 - column & top ^ alphaLeft.AsUInt32()).AsSingle(), (b << 31 - column & top ^ alphaRight.AsUInt32()).AsSingle());
                (one + (starts ? left : Vector256.LoadAligned(panel))).StoreAligned(panel);
                (two + (starts ? right : Vector256.LoadAligned(panel + 8))).StoreAligned(panel + 8);
                panel += TileRows;
            }
            signs += TileRows;
        }
    }

    /// <summary>Two tiles and eight tokens at a time: 16 sums in registers of 512 bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Wide(float* panel, float* other, int columns, float* x, int xStride, int tokens, float* y, int yStride, bool starts)
    {
        var token = 0;
        for (; token + 8 <= tokens; token += 8)
        {
            float* x0 = x + (long)token * xStride, x1 = x0 + xStride, x2 = x1 + xStride, x3 = x2 + xStride;
            float* x4 = x3 + xStride, x5 = x4 + xStride, x6 = x5 + xStride, x7 = x6 + xStride;
            Vector512<float> a0 = default, a1 = default, a2 = default, a3 = default, a4 = default, a5 = default, a6 = default, a7 = default;
            Vector512<float> b0 = default, b1 = default, b2 = default, b3 = default, b4 = default, b5 = default, b6 = default, b7 = default;
            for (var k = 0; k < columns; k++)
            {
                var (w, v) = (Vector512.LoadAligned(panel + k * TileRows), Vector512.LoadAligned(other + k * TileRows));
                var value = Vector512.Create(x0[k]);
                a0 = Vector512.MultiplyAddEstimate(w, value, a0);
                b0 = Vector512.MultiplyAddEstimate(v, value, b0);
                value = Vector512.Create(x1[k]);
                a1 = Vector512.MultiplyAddEstimate(w, value, a1);
                b1 = Vector512.MultiplyAddEstimate(v, value, b1);
                value = Vector512.Create(x2[k]);
                a2 = Vector512.MultiplyAddEstimate(w, value, a2);
                b2 = Vector512.MultiplyAddEstimate(v, value, b2);
                value = Vector512.Create(x3[k]);
                a3 = Vector512.MultiplyAddEstimate(w, value, a3);
                b3 = Vector512.MultiplyAddEstimate(v, value, b3);
                value = Vector512.Create(x4[k]);
                a4 = Vector512.MultiplyAddEstimate(w, value, a4);
                b4 = Vector512.MultiplyAddEstimate(v, value, b4);
                value = Vector512.Create(x5[k]);
                a5 = Vector512.MultiplyAddEstimate(w, value, a5);
                b5 = Vector512.MultiplyAddEstimate(v, value, b5);
                value = Vector512.Create(x6[k]);
                a6 = Vector512.MultiplyAddEstimate(w, value, a6);
                b6 = Vector512.MultiplyAddEstimate(v, value, b6);
                value = Vector512.Create(x7[k]);
                a7 = Vector512.MultiplyAddEstimate(w, value, a7);
                b7 = Vector512.MultiplyAddEstimate(v, value, b7);
            }
            var to = y + (long)token * yStride;
            Put(to, a0, b0, starts);
            Put(to += yStride, a1, b1, starts);
            Put(to += yStride, a2, b2, starts);
            Put(to += yStride, a3, b3, starts);
            Put(to += yStride, a4, b4, starts);
            Put(to += yStride, a5, b5, starts);
            Put(to += yStride, a6, b6, starts);
            Put(to + yStride, a7, b7, starts);
        }
        if (token == tokens)
            return;
        Narrow(panel, columns, x + (long)token * xStride, xStride, tokens - token, y + (long)token * yStride, yStride, starts);
        Narrow(other, columns, x + (long)token * xStride, xStride, tokens - token, y + (long)token * yStride + TileRows, yStride, starts);
    }

    /// <summary>One tile and six tokens at a time: 12 sums in registers of 256 bits, of which AVX2 has 16.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Narrow(float* panel, int columns, float* x, int xStride, int tokens, float* y, int yStride, bool starts)
    {
        var token = 0;
        for (; token + 6 <= tokens; token += 6)
        {
            float* x0 = x + (long)token * xStride, x1 = x0 + xStride, x2 = x1 + xStride, x3 = x2 + xStride, x4 = x3 + xStride, x5 = x4 + xStride;
            Vector256<float> a0 = default, a1 = default, a2 = default, a3 = default, a4 = default, a5 = default;
            Vector256<float> b0 = default, b1 = default, b2 = default, b3 = default, b4 = default, b5 = default;
            for (var k = 0; k < columns; k++)
            {
                var (w, v) = (Vector256.LoadAligned(panel + k * TileRows), Vector256.LoadAligned(panel + k * TileRows + 8));
                var value = Vector256.Create(x0[k]);
                a0 = Vector256.MultiplyAddEstimate(w, value, a0);
                b0 = Vector256.MultiplyAddEstimate(v, value, b0);
                value = Vector256.Create(x1[k]);
                a1 = Vector256.MultiplyAddEstimate(w, value, a1);
                b1 = Vector256.MultiplyAddEstimate(v, value, b1);
                value = Vector256.Create(x2[k]);
                a2 = Vector256.MultiplyAddEstimate(w, value, a2);
                b2 = Vector256.MultiplyAddEstimate(v, value, b2);
                value = Vector256.Create(x3[k]);
                a3 = Vector256.MultiplyAddEstimate(w, value, a3);
                b3 = Vector256.MultiplyAddEstimate(v, value, b3);
                value = Vector256.Create(x4[k]);
                a4 = Vector256.MultiplyAddEstimate(w, value, a4);
                b4 = Vector256.MultiplyAddEstimate(v, value, b4);
                value = Vector256.Create(x5[k]);
                a5 = Vector256.MultiplyAddEstimate(w, value, a5);
                b5 = Vector256.MultiplyAddEstimate(v, value, b5);
            }
            var to = y + (long)token * yStride;
            Put(to, a0, b0, starts);
            Put(to += yStride, a1, b1, starts);
            Put(to += yStride, a2, b2, starts);
            Put(to += yStride, a3, b3, starts);
            Put(to += yStride, a4, b4, starts);
            Put(to + yStride, a5, b5, starts);
        }
        for (; token < tokens; token++)
        {
            var input = x + (long)token * xStride;
            Vector256<float> a = default, b = default;
            for (var k = 0; k < columns; k++)
            {
                var value = Vector256.Create(input[k]);
                a = Vector256.MultiplyAddEstimate(Vector256.LoadAligned(panel + k * TileRows), value, a);
                b = Vector256.MultiplyAddEstimate(Vector256.LoadAligned(panel + k * TileRows + 8), value, b);
            }
            Put(y + (long)token * yStride, a, b, starts);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Put(float* y, Vector512<float> a, Vector512<float> b, bool starts)
    {
        (starts ? a : a + Vector512.Load(y)).Store(y);
        (starts ? b : b + Vector512.Load(y + 16)).Store(y + 16);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Put(float* y, Vector256<float> a, Vector256<float> b, bool starts)
    {
        (starts ? a : a + Vector256.Load(y)).Store(y);
        (starts ? b : b + Vector256.Load(y + 8)).Store(y + 8);
    }
}
