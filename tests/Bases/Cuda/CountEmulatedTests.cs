using Qbb.Bases.Cuda;
using Qbb.Tests.Emulation;

namespace Qbb.Bases.Tests.Cuda;

/// <summary>The source of count.cu on the CPU: layouts, indices and sums.</summary>
public class CountEmulatedTests
{
    [Theory]
    [InlineData(1, 16, 256, 128, false, 1, false), InlineData(2, 33, 200, 128, true, 2, true), InlineData(3, 50, 1100, 256, true, 1, false)]
    [InlineData(4, 40, 700, 700, false, 3, true), InlineData(4, 70, 513, 128, false, 1, true), InlineData(5, 17, 1000, 128, true, 1, false)]
    [InlineData(6, 15, 260, 260, true, 1, false), InlineData(7, 31, 31, 31, false, 1, true), InlineData(8, 48, 600, 384, true, 2, false)]
    public void It_agrees_with_the_definition(int count, int rows, int columns, int group, bool bias, int tokens, bool bfloat) =>
        Products.CheckEmulated(count, rows, columns, group, bias, tokens, bfloat, [tokens, rows], (packed, x, addend, y) =>
        {
            var shape = new CountShape(count, bias, tokens, packed.KernelGroup, bfloat, Warps: 3, Stages: 3, Blocks: 1);
            EmulatedKernels.Load(shape.Source, CountShape.Kernel, torch.CPU).Launch(2, shape.Threads, shape.SharedBytes(columns),
                packed.Words, packed.Scales, x, (Tensor?)null, addend, y, columns, rows, packed.Groups, CountShape.AddendStride(addend, packed), 0f);
        });

    [Theory]
    [InlineData(nameof(CountInput.Normed), 512, 1, false), InlineData(nameof(CountInput.Normed), 300, 2, true)]
    [InlineData(nameof(CountInput.NormedPlusOne), 300, 1, false), InlineData(nameof(CountInput.Gated), 640, 2, false), InlineData(nameof(CountInput.Gated), 300, 1, true)]
    public void What_stands_before_the_product_is_calculated_on_the_way(string input, int columns, int tokens, bool bfloat)
    {
        using var scope = NewDisposeScope();
        var seed = Environment.TickCount;
        var kind = Enum.Parse<CountInput>(input);
        var bases = RandomBases.Create(seed, 2, 40, columns, 128, false);
        using var packed = Packing.Pack(bases, torch.CPU);
        var type = bfloat ? ScalarType.BFloat16 : ScalarType.Float16;
        using var generator = new Generator((ulong)seed);
        var x = randn([tokens, kind == CountInput.Gated ? 2 * columns : columns], generator: generator).to(type);
        var norm = randn([columns], generator: generator).to(type);
        var y = full([tokens, 40], double.NaN, type, torch.CPU);
        var shape = new CountShape(2, false, tokens, 128, bfloat, Warps: 3, Stages: 3, Blocks: 1, kind);
        EmulatedKernels.Load(shape.Source, CountShape.Kernel, torch.CPU).Launch(
            2, shape.Threads, shape.SharedBytes(columns), packed.Words, packed.Scales, x, norm, (Tensor?)null, y, columns, 40, packed.Groups, 0, 1e-5f);
        Products.Check(bases, Plain(kind, x, norm), null, y);
    }

    private static Tensor Plain(CountInput kind, Tensor x, Tensor norm)
    {
        if (kind == CountInput.Gated)
        {
            var width = x.size(1) / 2;
            return nn.functional.silu(x.narrow(1, 0, width).to(ScalarType.Float32)).to(x.dtype) * x.narrow(1, width, width);
        }
        var wide = x.to(ScalarType.Float32);
        var scaled = wide * wide.square().mean([-1], keepdim: true).add(1e-5).rsqrt();
        return kind == CountInput.Normed ? scaled.to(x.dtype) * norm : (scaled * (norm.to(ScalarType.Float32) + 1)).to(x.dtype);
    }
}
