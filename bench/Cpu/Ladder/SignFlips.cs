using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Qbb.Bases;

namespace Qbb.Bench.Cpu.Ladder;

/// <summary>Sixteen columns of one row at a time: each bit is shifted into the sign of its input, and the inputs are added.</summary>
internal sealed unsafe class SignFlips(BinaryBases bases) : LadderStep(bases)
{
    private readonly float[] _scales = RowScales(bases);

    public override string Name => "avx512 sign flips";

    public override long Bytes => 4L * Bases.Planes.Length + 4L * _scales.Length;

    public override void Multiply(float* x, float* y)
    {
        var shifts = Vector512.Create(31u, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16);
        var sign = Vector512.Create(0x8000_0000u);
        var sums = GroupSums(x);
        int count = Bases.Count, groups = Bases.Groups, words = Bases.WordsPerRow;
        fixed (uint* planes = Bases.Planes)
        fixed (float* scales = _scales)
        {
            var scale = scales;
            for (var row = 0; row < Bases.OutFeatures; row++)
            {
                var total = Vector512<float>.Zero;
                var bias = 0f;
                for (var group = 0; group < groups; group++)
                {
                    for (var basis = 0; basis < count; basis++)
                    {
                        var word = planes + ((long)basis * Bases.OutFeatures + row) * words + group * WordsPerGroup;
                        var inputs = x + group * Group;
                        Vector512<float> a = default, b = default;
                        for (var k = 0; k < WordsPerGroup; k++, inputs += 32)
                        {
                            var low = Avx512F.ShiftLeftLogicalVariable(Vector512.Create(word[k]), shifts);
                            a += (Vector512.Load(inputs).AsUInt32() ^ low & sign).AsSingle();
                            b += (Vector512.Load(inputs + 16).AsUInt32() ^ Avx512F.ShiftLeftLogicalVariable(Vector512.Create(word[k] >> 16), shifts) & sign).AsSingle();
                        }
                        // A bit of 1 has turned +x into −x.
                        total = Vector512.FusedMultiplyAdd(a + b, Vector512.Create(-*scale++), total);
                    }
                    bias += *scale++ * sums[group];
                }
                y[row] = Vector512.Sum(total) + bias;
            }
        }
    }
}
