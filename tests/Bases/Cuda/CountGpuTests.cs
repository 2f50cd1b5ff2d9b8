using Qbb.Bases.Cuda;
using Qbb.Torch;
using static Qbb.Torch.torch;

namespace Qbb.Bases.Tests.Cuda;

public class CountGpuTests
{
    public static TheoryData<int, int, int, int, bool, int, bool> Cases()
    {
        var random = new Random();
        var data = new TheoryData<int, int, int, int, bool, int, bool>();
        // Every case compiles a kernel of its own, so that groups and numbers of tokens take turns.
        int[] tokens = [1, 2, 4], groups = [128, 256, 0];
        for (var k = 0; k < 24; k++)
        {
            var columns = random.Next(1, 5000);
            var group = groups[k % groups.Length];
            data.Add(k / 3 + 1, random.Next(1, 3000), columns, group == 0 ? columns : group, random.Next(2) == 0, tokens[k / 2 % tokens.Length], random.Next(2) == 0);
        }
        return data;
    }

    [Theory, MemberData(nameof(Cases), DisableDiscoveryEnumeration = true)]
    public void It_agrees_with_the_definition_and_repeats_bit_for_bit(int count, int rows, int columns, int group, bool bias, int tokens, bool bfloat)
    {
        Gpu.Require();
        using var scope = NewDisposeScope();
        var seed = Environment.TickCount;
        var bases = RandomBases.Create(seed, count, rows, columns, group, bias);
        using var packed = Packing.Pack(bases, Device.CUDA);
        var type = bfloat ? ScalarType.BFloat16 : ScalarType.Float16;
        using var generator = new Generator((ulong)seed);
        var x = (randn([tokens, columns], generator) * 3).to(type).to(Device.CUDA);
        var addend = randn([tokens, rows], generator).to(type).to(Device.CUDA);
        var y = full([tokens, rows], double.NaN, type, Device.CUDA);
        CountProduct.Run(packed, x, addend, y);
        Products.Check(bases, x, addend, y);

        var again = full([tokens, rows], double.NaN, type, Device.CUDA);
        CountProduct.Run(packed, x, addend, again);
        (y.view(ScalarType.Int16) - again.view(ScalarType.Int16)).to(ScalarType.Int32).sum().item().ShouldBe(0);
    }
}
