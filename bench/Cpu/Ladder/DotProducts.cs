using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Qbb.Bases;

namespace Qbb.Bench.Cpu.Ladder;

/// <summary>
/// Thirty-two columns of one row at a time: bits become bytes of 0 and 1, and vpdpbusd multiplies them with int8 inputs. .NET binds the
/// 256-bit form of the instruction only.
/// </summary>
internal sealed unsafe class DotProducts(BinaryBases bases) : LadderStep(bases)
{
    private readonly float[] _scales = RowScales(bases);
    private readonly sbyte[] _inputs = new sbyte[bases.InFeatures];

    public override string Name => "vnni dot products";

    public override long Bytes => 4L * Bases.Planes.Length + 4L * _scales.Length;

    public override void Multiply(float* x, float* y)
    {
        var largest = 0f;
        for (var k = 0; k < _inputs.Length; k++)
            largest = MathF.Max(largest, MathF.Abs(x[k]));
        var step = largest / 127;
        for (var k = 0; k < _inputs.Length; k++)
            _inputs[k] = (sbyte)MathF.Round(x[k] / step);
        var sums = GroupSums(x);
        var spread = Vector256.Create((byte)0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
        var bits = Vector256.Create(0x8040_2010_0804_0201).AsByte();
        int count = Bases.Count, groups = Bases.Groups, words = Bases.WordsPerRow;
        fixed (uint* planes = Bases.Planes)
        fixed (float* scales = _scales)
        fixed (sbyte* all = _inputs)
        {
            var scale = scales;
            for (var row = 0; row < Bases.OutFeatures; row++)
            {
                var total = Vector256<float>.Zero;
                var bias = 0f;
                for (var group = 0; group < groups; group++)
                {
                    var rest = 0f;
                    for (var basis = 0; basis < count; basis++)
                    {
                        var word = planes + ((long)basis * Bases.OutFeatures + row) * words + group * WordsPerGroup;
                        var inputs = all + group * Group;
                        var sum = Vector256<int>.Zero;
                        for (var k = 0; k < WordsPerGroup; k++, inputs += 32)
                        {
                            var bytes = Avx2.Shuffle(Vector256.Create(word[k]).AsByte(), spread) & bits;
                            sum = AvxVnni.MultiplyWideningAndAdd(sum, Avx2.Min(bytes, Vector256<byte>.One), Vector256.Load(inputs));
                        }
                        total = Vector256.FusedMultiplyAdd(Vector256.ConvertToSingle(sum), Vector256.Create(2 * *scale), total);
                        rest += *scale++;
                    }
                    bias += (*scale++ - rest) * sums[group];
                }
                y[row] = Vector256.Sum(total) * step + bias;
            }
        }
    }
}
