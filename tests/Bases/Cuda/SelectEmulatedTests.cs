using Qbb.Bases.Cuda;
using Qbb.Tests.Emulation;

namespace Qbb.Bases.Tests.Cuda;

/// <summary>The source of select.cu on the CPU: layouts, indices and sums.</summary>
public class SelectEmulatedTests
{
    [Theory]
    [InlineData(1, 16, 256, 128, false, 5, false, false, 1, 1), InlineData(2, 33, 200, 32, true, 8, true, false, 1, 2), InlineData(3, 50, 1100, 64, true, 11, false, false, 1, 2)]
    [InlineData(4, 40, 700, 700, false, 16, true, false, 2, 1), InlineData(4, 230, 1513, 128, true, 3, false, false, 1, 3), InlineData(5, 17, 1000, 96, true, 9, false, false, 2, 2)]
    [InlineData(1, 160, 256, 128, true, 5, false, true, 1, 1), InlineData(2, 33, 200, 32, true, 32, true, true, 2, 2), InlineData(3, 50, 2100, 64, false, 11, false, true, 2, 1)]
    [InlineData(4, 440, 1513, 128, true, 16, true, true, 1, 1), InlineData(4, 630, 1513, 128, false, 7, false, true, 2, 1), InlineData(5, 317, 1000, 96, true, 23, false, true, 2, 2)]
    [InlineData(6, 15, 260, 260, true, 1, false, false, 1, 1), InlineData(7, 31, 31, 31, false, 2, true, true, 2, 1), InlineData(8, 148, 600, 384, true, 16, false, true, 1, 1)]
    public void It_agrees_with_the_definition(int count, int rows, int columns, int group, bool bias, int tokens, bool bfloat, bool wide, int cluster, int clusters) =>
        Products.CheckEmulated(count, rows, columns, group, bias, tokens, bfloat, [rows], (packed, x, addend, y) =>
        {
            var shape = SelectProduct.ShapeFor(packed, tokens, bfloat, wide, cluster) with { Warps = wide ? 4 * clusters : 5 - clusters, Stages = 3, Slab = 2, Runs = wide ? 3 : 2 };
            EmulatedKernels.Load(shape.Source, SelectShape.Kernel, torch.CPU).Launch(clusters * cluster, shape.Threads, shape.SharedBytes,
                packed.Words, packed.Scales, x, addend, y, tokens, columns, rows, packed.Groups, 0);
        });
}
