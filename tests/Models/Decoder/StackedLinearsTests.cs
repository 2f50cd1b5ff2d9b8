using Qbb.Models.Decoder;

namespace Qbb.Models.Tests.Decoder;

public class StackedLinearsTests
{
    [Theory]
    [InlineData(false), InlineData(true)]
    public void One_product_gives_what_each_layer_gives(bool bias)
    {
        using var scope = torch.NewDisposeScope();
        using var generator = new Generator(3);
        var linears = Linears(generator, bias);
        var x = torch.randn([2, 3, 8], generator: generator);
        using var stacked = StackedLinears.Stack(linears, LinearRole.Query, LinearRole.Key, LinearRole.Value)!;
        stacked.TryForward(x, linears).ShouldBeNull("gradients are recorded");
        using var off = torch.no_grad();
        var together = stacked.TryForward(x, linears).ShouldNotBeNull();
        LinearRole[] roles = [LinearRole.Query, LinearRole.Key, LinearRole.Value];
        for (var k = 0; k < 3; k++)
            (together[k] - linears[roles[k]].forward(x)).abs().max().ToDouble().ShouldBeLessThan(1e-6);
        // A change of a layer is a change of the stack.
        ((DenseLinear)linears[LinearRole.Key]).Weight.zero_();
        var changed = stacked.TryForward(x, linears).ShouldNotBeNull()[1];
        (changed - linears[LinearRole.Key].forward(x)).abs().max().ToDouble().ShouldBeLessThan(1e-6);
        linears[LinearRole.Value] = new DenseLinear(torch.ones([4, 8]), null, false);
        stacked.TryForward(x, linears).ShouldBeNull("a layer was exchanged");
    }

    [Fact]
    public void Layers_that_differ_in_kind_are_left_alone()
    {
        using var scope = torch.NewDisposeScope();
        using var generator = new Generator(4);
        var linears = Linears(generator, bias: true);
        linears[LinearRole.Key] = new DenseLinear(torch.ones([4, 8]), null, false);
        StackedLinears.Stack(linears, LinearRole.Query, LinearRole.Key, LinearRole.Value).ShouldBeNull();
        linears[LinearRole.Key] = new DenseLinear(torch.ones([8, 4]), torch.ones([4]), transposed: true);
        StackedLinears.Stack(linears, LinearRole.Query, LinearRole.Key, LinearRole.Value).ShouldBeNull();
        StackedLinears.Stack(linears, LinearRole.Gate, LinearRole.Up).ShouldBeNull();
    }

    private static Dictionary<LinearRole, ILinear> Linears(Generator generator, bool bias) => new()
    {
        [LinearRole.Query] = new DenseLinear(torch.randn([8, 8], generator: generator), bias ? torch.randn([8], generator: generator) : null, false),
        [LinearRole.Key] = new DenseLinear(torch.randn([4, 8], generator: generator), bias ? torch.randn([4], generator: generator) : null, false),
        [LinearRole.Value] = new DenseLinear(torch.randn([4, 8], generator: generator), bias ? torch.randn([4], generator: generator) : null, false),
    };
}
