using Qbb.Bases.Cuda;
using Qbb.Torch;
using static Qbb.Torch.torch;

namespace Qbb.Bases.Tests.Cuda;

/// <summary>The source of mask.cu on the CPU: layouts, indices and sums.</summary>
public class MaskEmulatedTests
{
    private static readonly string[] s_parameters =
        ["const u32*", "const u32*", "const u16*", "const u16*", "u16*", "int", "int", "int", "int", "int", "float"];

    [Theory]
    [InlineData(1, 16, 256, 128, false, 5, false, 1), InlineData(2, 33, 200, 128, true, 8, true, 2), InlineData(3, 50, 1100, 256, true, 11, false, 2)]
    [InlineData(4, 40, 700, 700, false, 16, true, 1), InlineData(4, 130, 1513, 128, true, 3, false, 3), InlineData(5, 17, 1000, 384, true, 9, false, 2)]
    [InlineData(6, 15, 260, 260, true, 1, false, 1), InlineData(7, 31, 31, 31, false, 2, true, 1), InlineData(8, 48, 600, 128, true, 16, false, 2)]
    public void It_agrees_with_the_definition(int count, int rows, int columns, int group, bool bias, int tokens, bool bfloat, int blocks)
    {
        using var scope = NewDisposeScope();
        var seed = Environment.TickCount;
        var bases = RandomBases.Create(seed, count, rows, columns, group, bias);
        using var packed = Packing.Pack(bases, Device.CPU);
        var type = bfloat ? ScalarType.BFloat16 : ScalarType.Float16;
        using var generator = new Generator((ulong)seed);
        var x = (randn([tokens, columns], generator) * 3).to(type);
        var addend = randn([rows], generator).to(type);
        var y = full([tokens, rows], double.NaN, type, Device.CPU);
        var shape = MaskProduct.ShapeFor(packed, tokens, bfloat) with { Warps = 5, Stages = 3, Slab = 4 };
        Emulator.Build(shape.Source, MaskShape.Kernel, s_parameters).Run(blocks, shape.Threads, shape.SharedBytes,
            packed.Words, packed.Scales, x, addend, y, tokens, columns, rows, packed.Groups, 0, packed.Up);

        Products.Check(bases, x, addend, y);
    }
}
