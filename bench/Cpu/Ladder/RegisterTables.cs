using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Qbb.Bases;

namespace Qbb.Bench.Cpu.Ladder;

/// <summary>
/// The first form of the kernel that was taken: tables of 16 sums in fp32 as one register, looked up by vpermps for 16 rows; rows outside,
/// columns inside, nothing fetched ahead.
/// </summary>
internal sealed unsafe class RegisterTables : LadderStep
{
    private const int TileRows = 16;

    /// <summary>[out/16, groups, N, 4, 16]</summary>
    private readonly uint[] _signs;

    /// <summary>[out/16, groups, N + 1, 16], β first.</summary>
    private readonly float[] _scales;

    public RegisterTables(BinaryBases bases) : base(bases)
    {
        _signs = GC.AllocateUninitializedArray<uint>(bases.Planes.Length, pinned: true);
        _scales = new float[(bases.Count + 1) * bases.OutFeatures * bases.Groups];
        int sign = 0, scale = 0;
        for (var first = 0; first < bases.OutFeatures; first += TileRows)
        {
            for (var group = 0; group < bases.Groups; group++)
            {
                for (var row = 0; row < TileRows; row++)
                    _scales[scale++] = (float)bases.Bias(first + row, group);
                for (var basis = 0; basis < bases.Count; basis++)
                {
                    for (var word = 0; word < WordsPerGroup; word++)
                        for (var row = 0; row < TileRows; row++)
                            _signs[sign++] = bases.Row(basis, first + row)[group * WordsPerGroup + word];
                    for (var row = 0; row < TileRows; row++)
                        _scales[scale++] = (float)bases.Scale(basis, first + row, group);
                }
            }
        }
    }

    public override string Name => "avx512 tables";

    public override long Bytes => 4L * _signs.Length + 4L * _scales.Length;

    public override void Multiply(float* x, float* y)
    {
        var sums = GroupSums(x);
        var tables = GC.AllocateUninitializedArray<float>(Bases.InFeatures * 4, pinned: true);
        for (var entry = 0; entry < tables.Length; entry++)
            for (var k = 0; k < 4; k++)
                tables[entry] = (k == 0 ? 0 : tables[entry]) + ((entry >> k & 1) != 0 ? x[entry / 16 * 4 + k] : -x[entry / 16 * 4 + k]);
        fixed (float* table = tables, scales = _scales)
        fixed (uint* signs = _signs)
        {
            var sign = (int*)signs;
            var scale = 0;
            for (var first = 0; first < Bases.OutFeatures; first += TileRows)
            {
                var total = Vector512<float>.Zero;
                for (var group = 0; group < sums.Length; group++)
                {
                    total = Vector512.FusedMultiplyAdd(Vector512.Load(scales + scale), Vector512.Create(sums[group]), total);
                    for (var basis = 0; basis < Bases.Count; basis++)
                    {
                        scale += TileRows;
                        Vector512<float> a = default, b = default;
                        var t = table + group * Group * 4;
                        for (var word = 0; word < WordsPerGroup; word++, sign += TileRows, t += 128)
                        {
                            var codes = Vector512.Load(sign);
                            a += Avx512F.PermuteVar16x32(Vector512.Load(t), codes);
                            b += Avx512F.PermuteVar16x32(Vector512.Load(t + 16), codes >>> 4);
                            a += Avx512F.PermuteVar16x32(Vector512.Load(t + 32), codes >>> 8);
                            b += Avx512F.PermuteVar16x32(Vector512.Load(t + 48), codes >>> 12);
                            a += Avx512F.PermuteVar16x32(Vector512.Load(t + 64), codes >>> 16);
                            b += Avx512F.PermuteVar16x32(Vector512.Load(t + 80), codes >>> 20);
                            a += Avx512F.PermuteVar16x32(Vector512.Load(t + 96), codes >>> 24);
                            b += Avx512F.PermuteVar16x32(Vector512.Load(t + 112), codes >>> 28);
                        }
                        total = Vector512.FusedMultiplyAdd(a + b, Vector512.Load(scales + scale), total);
                    }
                    scale += TileRows;
                }
                total.Store(y + first);
            }
        }
    }
}
