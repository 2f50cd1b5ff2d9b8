using System.Runtime.Intrinsics;
using Qbb.Bases;

namespace Qbb.Bench.Cpu.Ladder;

/// <summary>Sixteen columns of one row at a time: a mask register selects the inputs of +1 and only these are added, Σ±x = 2Σ₊x − Σx.</summary>
internal sealed unsafe class MaskedAdds(BinaryBases bases) : LadderStep(bases)
{
    private readonly float[] _scales = RowScales(bases);

    public override string Name => "avx512 masked adds";

    public override long Bytes => 4L * Bases.Planes.Length + 4L * _scales.Length;

    public override void Multiply(float* x, float* y)
    {
        var low = Vector512.Create(1u, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768);
        var high = low << 16;
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
                    var rest = 0f;
                    for (var basis = 0; basis < count; basis++)
                    {
                        var word = planes + ((long)basis * Bases.OutFeatures + row) * words + group * WordsPerGroup;
                        var inputs = x + group * Group;
                        Vector512<float> a = default, b = default;
                        for (var k = 0; k < WordsPerGroup; k++, inputs += 32)
                        {
                            var bits = Vector512.Create(word[k]);
                            a += Vector512.ConditionalSelect(Vector512.Equals(bits & low, low).AsSingle(), Vector512.Load(inputs), Vector512<float>.Zero);
                            b += Vector512.ConditionalSelect(Vector512.Equals(bits & high, high).AsSingle(), Vector512.Load(inputs + 16), Vector512<float>.Zero);
                        }
                        total = Vector512.FusedMultiplyAdd(a + b, Vector512.Create(2 * *scale), total);
                        rest += *scale++;
                    }
                    bias += (*scale++ - rest) * sums[group];
                }
                y[row] = Vector512.Sum(total) + bias;
            }
        }
    }
}
