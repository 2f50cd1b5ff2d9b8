using Qbb.Bases.Cuda;

namespace Qbb.Bases.Tests.Cuda;

/// <summary>The kernels of products on a GPU, each over random shapes that are multiples of nothing.</summary>
public class ProductGpuTests
{
    private const int CasesOfEach = 32;

    public static TheoryData<string, int, int, int, int, bool, int, bool> Cases()
    {
        var random = new Random();
        var data = new TheoryData<string, int, int, int, int, bool, int, bool>();
        // Every case compiles a kernel of its own, so that groups and numbers of tokens take turns.
        foreach (var (kernel, tokens, groups) in new (string, int[], int[])[]
        {
            ("count", [1, 2, 4], [128, 256, 0]), ("wide", [3, 8, 13, 16, 32], [128, 64, 384, 32, 0, 96]), ("narrow", [3, 8, 13, 16], [128, 32, 384, 96, 0]), ("narrow pair", [3, 8], [128, 64, 0]),
        })
        {
            for (var k = 0; k < CasesOfEach; k++)
            {
                var columns = random.Next(1, 5000);
                var group = groups[k * 5 / 2 % groups.Length];
                data.Add(kernel, k % 8 + 1, random.Next(1, 3000), columns, group == 0 ? columns : group, random.Next(2) == 0, tokens[k / 2 % tokens.Length], random.Next(2) == 0);
            }
        }
        return data;
    }

    [Theory, MemberData(nameof(Cases), DisableDiscoveryEnumeration = true)]
    public void It_agrees_with_the_definition_and_repeats_bit_for_bit(string kernel, int count, int rows, int columns, int group, bool bias, int tokens, bool bfloat)
    {
        Gpu.Require();
        Assert.SkipWhen((kernel is "wide" or "narrow pair") && SelectProduct.MostTokens(torch.CUDA) < 32, "not a Hopper");
        using var scope = NewDisposeScope();
        var seed = Environment.TickCount;
        var bases = RandomBases.Create(seed, count, rows, columns, group, bias);
        using var packed = Packing.Pack(bases, torch.CUDA);
        var type = bfloat ? ScalarType.BFloat16 : ScalarType.Float16;
        using var generator = new Generator((ulong)seed);
        var x = (randn([tokens, columns], generator: generator) * 3).to(type).to(torch.CUDA);
        var addend = (bfloat ? randn([tokens, rows], generator: generator) : randn([rows], generator: generator)).to(type).to(torch.CUDA);
        var y = full([tokens, rows], double.NaN, type, torch.CUDA);
        Run(y);
        Products.Check(bases, x, addend, y);

        var again = full([tokens, rows], double.NaN, type, torch.CUDA);
        Run(again);
        (y.view(ScalarType.Int16) - again.view(ScalarType.Int16)).to(ScalarType.Int32).sum().ToDouble().ShouldBe(0);

        void Run(Tensor result)
        {
            if (kernel == "count")
                CountProduct.Run(packed, x, addend, result);
            else
                SelectProduct.Run(packed, x, addend, result, SelectProduct.ShapeFor(packed, tokens, bfloat, kernel == "wide", kernel == "narrow" ? 1 : 2));
        }
    }
}
