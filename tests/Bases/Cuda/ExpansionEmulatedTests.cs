using Qbb.Bases.Cuda;
using Qbb.Tests.Emulation;

namespace Qbb.Bases.Tests.Cuda;

/// <summary>The source of expand.cu on the CPU.</summary>
public class ExpansionEmulatedTests
{
    [Theory]
    [InlineData(1, 16, 256, 128, false), InlineData(3, 50, 300, 32, true), InlineData(4, 33, 517, 96, false), InlineData(8, 20, 40, 40, true)]
    public void Tiles_hold_the_stored_weight(int count, int rows, int columns, int group, bool bias)
    {
        using var scope = NewDisposeScope();
        var bases = RandomBases.Create(Environment.TickCount, count, rows, columns, group, bias);
        using var packed = Packing.Pack(bases, torch.CPU);
        var expected = new float[rows * columns];
        bases.Dequantize(0, rows, expected);
        var (first, tiles) = (1, FragmentLayout.Tiles(rows) - 1);
        if (tiles == 0)
            (first, tiles) = (0, 1);
        var weight = full([16 * tiles, columns], double.NaN, ScalarType.Float32, torch.CPU);
        EmulatedKernels.Load(Expansion.SourceFor(packed, ScalarType.Float32), Expansion.Kernel, torch.CPU)
            .Launch(Expansion.Blocks(packed, tiles), Expansion.Threads, 0, packed.Words, packed.Scales, weight, first, tiles, columns, rows, packed.Groups);
        var actual = weight.narrow(0, 0, rows - 16 * first).contiguous().flatten().ToArray<float>();
        for (var k = 0; k < actual.Length; k++)
            actual[k].ShouldBe(expected[16 * first * columns + k], 1e-6f);
    }
}
