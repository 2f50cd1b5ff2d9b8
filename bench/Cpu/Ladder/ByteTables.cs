using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Qbb.Bases;

namespace Qbb.Bench.Cpu.Ladder;

/// <summary>
/// T-MAC's way on AVX2: 32 rows at a time look up tables of 16 sums by vpshufb, the lower and the upper bytes of 16-bit sums apart. The
/// step of a group is chosen so that no sum of its 128 inputs leaves 16 bits, which costs accuracy.
/// </summary>
internal sealed unsafe class ByteTables : LadderStep
{
    private const int TileRows = 32;
    private const int Fours = Group / 4;

    /// <summary>[out/32, groups, N, 16, 32]: in a byte the signs of eight columns of a row, low four bits first.</summary>
    private readonly byte[] _signs;

    /// <summary>[out/32, groups, N + 1, 32], β first; rows 0, 2 … 30, then 1, 3 … 31, as 16-bit lanes hold them.</summary>
    private readonly float[] _scales;

    public ByteTables(BinaryBases bases) : base(bases)
    {
        int count = bases.Count, groups = bases.Groups;
        _signs = GC.AllocateUninitializedArray<byte>(count * bases.OutFeatures * groups * Group / 8, pinned: true);
        _scales = new float[(count + 1) * bases.OutFeatures * groups];
        int sign = 0, scale = 0;
        for (var first = 0; first < bases.OutFeatures; first += TileRows)
        {
            for (var group = 0; group < groups; group++)
            {
                for (var lane = 0; lane < TileRows; lane++)
                    _scales[scale++] = (float)bases.Bias(first + RowOf(lane), group);
                for (var basis = 0; basis < count; basis++)
                {
                    for (var lane = 0; lane < TileRows; lane++)
                        _scales[scale++] = (float)bases.Scale(basis, first + RowOf(lane), group);
                    for (var eight = 0; eight < Group / 8; eight++)
                        for (var row = 0; row < TileRows; row++)
                            _signs[sign++] = MemoryMarshal.AsBytes(bases.Row(basis, first + row))[group * Group / 8 + eight];
                }
            }
        }
    }

    public override string Name => "avx2 byte tables";

    public override long Bytes => _signs.Length + 4L * _scales.Length;

    public override void Multiply(float* x, float* y)
    {
        var sums = GroupSums(x);
        var steps = new float[Bases.Groups];
        var memory = GC.AllocateUninitializedArray<byte>(Bases.InFeatures / 4 * 32, pinned: true);
        fixed (byte* table = memory, signs = _signs)
        fixed (float* scales = _scales)
        {
            for (var group = 0; group < steps.Length; group++)
                steps[group] = Build(x + group * Group, table + group * Fours * 32);
            for (var first = 0; first < Bases.OutFeatures; first += TileRows)
                Tile(table, signs + (long)first * Bases.Count * Bases.InFeatures / 8, scales + (long)first * (Bases.Count + 1) * Bases.Groups,
                    sums, steps, y + first);
        }
    }

    private void Tile(byte* tables, byte* sign, float* scale, float[] sums, float[] steps, float* y)
    {
        var nibble = Vector256.Create((byte)15);
        Vector256<float> y0 = default, y1 = default, y2 = default, y3 = default;
        for (var group = 0; group < steps.Length; group++)
        {
            var sum = Vector256.Create(sums[group]);
            Add(sum, sum, sum, sum, 1);
            for (var basis = 0; basis < Bases.Count; basis++)
            {
                var table = tables + group * Fours * 32;
                Vector256<ushort> all = default, odd = default;
                Vector256<byte> high = default;
                for (var eight = 0; eight < Fours / 2; eight++, table += 64, sign += TileRows)
                {
                    Sse.Prefetch0(sign + 4096);
                    var codes = Vector256.Load(sign);
                    var left = codes & nibble;
                    var right = (codes.AsUInt16() >>> 4).AsByte() & nibble;
                    var low = Avx2.Shuffle(Both(table), left).AsUInt16();
                    all += low;
                    odd += low >>> 8;
                    high += Avx2.Shuffle(Both(table + 16), left);
                    low = Avx2.Shuffle(Both(table + 32), right).AsUInt16();
                    all += low;
                    odd += low >>> 8;
                    high += Avx2.Shuffle(Both(table + 48), right);
                }
                // All arithmetic is modulo 2^16, and the sums fit.
                var even = (all - (odd << 8) + (high.AsUInt16() << 8)).AsInt16();
                var odds = (odd + (high.AsUInt16() & Vector256.Create((ushort)0xFF00))).AsInt16();
                var (a, b) = Vector256.Widen(even);
                var (c, d) = Vector256.Widen(odds);
                Add(Vector256.ConvertToSingle(a), Vector256.ConvertToSingle(b), Vector256.ConvertToSingle(c), Vector256.ConvertToSingle(d), steps[group]);
            }
        }
        for (var lane = 0; lane < TileRows; lane++)
            y[RowOf(lane)] = (lane < 8 ? y0 : lane < 16 ? y1 : lane < 24 ? y2 : y3)[lane % 8];

        void Add(Vector256<float> a, Vector256<float> b, Vector256<float> c, Vector256<float> d, float step)
        {
            var factor = Vector256.Create(step);
            y0 = Vector256.FusedMultiplyAdd(a, Vector256.Load(scale) * factor, y0);
            y1 = Vector256.FusedMultiplyAdd(b, Vector256.Load(scale + 8) * factor, y1);
            y2 = Vector256.FusedMultiplyAdd(c, Vector256.Load(scale + 16) * factor, y2);
            y3 = Vector256.FusedMultiplyAdd(d, Vector256.Load(scale + 24) * factor, y3);
            scale += TileRows;
        }
    }

    private static Vector256<byte> Both(byte* table) => Vector256.Create(Vector128.Load(table), Vector128.Load(table));

    private static int RowOf(int lane) => lane < 16 ? 2 * lane : 2 * (lane - 16) + 1;

    /// <summary>Tables of one group, per four columns 16 lower and 16 upper bytes; returns the step.</summary>
    private static float Build(float* x, byte* table)
    {
        var sum = 0f;
        for (var k = 0; k < Group; k++)
            sum += MathF.Abs(x[k]);
        // Every entry may round up by half a step.
        var step = sum / (short.MaxValue - Fours);
        for (var four = 0; four < Fours; four++, x += 4, table += 32)
        {
            for (var code = 0; code < 16; code++)
            {
                var value = 0f;
                for (var k = 0; k < 4; k++)
                    value += (code >> k & 1) != 0 ? x[k] : -x[k];
                var rounded = step == 0 ? 0 : (int)MathF.Round(value / step);
                table[code] = (byte)rounded;
                table[16 + code] = (byte)(rounded >> 8);
            }
        }
        return step;
    }
}
