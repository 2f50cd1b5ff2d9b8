using Qbb.Bases.Cuda;

namespace Qbb.Bases.Tests.Cuda;

public class CudaProductTests
{
    [Theory]
    [InlineData(1), InlineData(2), InlineData(3), InlineData(16), InlineData(17), InlineData(64), InlineData(65), InlineData(300)]
    public void Every_number_of_tokens_is_served(int tokens)
    {
        Gpu.Require();
        var seed = Environment.TickCount;
        foreach (var (group, bias, type) in new[] { (128, false, ScalarType.Float16), (32, true, ScalarType.BFloat16), (1000, true, ScalarType.Float16), (64, false, ScalarType.Float32) })
        {
            using var scope = NewDisposeScope();
            var bases = RandomBases.Create(seed, 3, 515, 1000, group, bias);
            using var product = CudaProduct.Of(bases, torch.CUDA);
            using var generator = new Generator((ulong)seed);
            var x = randn([tokens, 1000], generator: generator).to(type).to(torch.CUDA);
            Products.Check(bases, x, null, product.forward(x));
        }
    }

    [Fact]
    public void Joined_weights_give_what_the_parts_give()
    {
        Gpu.Require();
        using var scope = NewDisposeScope();
        BinaryBases[] parts = [RandomBases.Create(1, 4, 64, 256, 128, false), RandomBases.Create(2, 4, 32, 256, 128, false)];
        CudaProduct[] products = [.. parts.Select(part => CudaProduct.Of(part, torch.CUDA))];
        using var joined = CudaProduct.Join(products)!;
        var x = randn([1, 256]).to(ScalarType.Float16).to(torch.CUDA);
        var whole = joined.forward(x);
        Products.Check(parts[0], x, null, whole.narrow(1, 0, 64).contiguous());
        Products.Check(parts[1], x, null, whole.narrow(1, 64, 32).contiguous());
        Products.Check(parts[0], x, null, products[0].forward(x));
        Products.Check(parts[1], x, null, products[1].forward(x));
        CudaProduct.Join([CudaProduct.Of(RandomBases.Create(3, 4, 33, 256, 128, false), torch.CUDA), .. products]).ShouldBeNull();
    }
}
