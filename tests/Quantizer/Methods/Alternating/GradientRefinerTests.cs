using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.Alternating;
using Qbb.Recipes;

namespace Qbb.Quantizer.Tests.Methods.Alternating;

public class GradientRefinerTests
{
    [Theory]
    [InlineData(Init.Cascaded)]
    [InlineData(Init.Random)]
    [InlineData(Init.NonCascaded)]
    public void Never_ends_worse_than_it_began(Init init)
    {
        var layer = Synthetic.Layer(8, 200, 4);
        foreach (var refinement in new[] { Refinement.Gradient, Refinement.Simultaneous })
        {
            foreach (var bias in new[] { false, true })
            {
                var recipe = new Recipe { Bases = 3, Group = 64, Bias = bias, Init = init, Refinement = refinement, Rounds = 3 };
                var start = Error(recipe with { Refinement = Refinement.None, Rounds = null }, layer);
                Error(recipe, layer).ShouldBeLessThan(start);
            }
        }
    }

    [Fact]
    public void One_basis_after_the_other_beats_all_at_once_and_loses_to_alternating()
    {
        var layer = Synthetic.Layer(32, 512, 5);
        for (var bases = 2; bases <= 4; bases++)
        {
            var recipe = new Recipe { Bases = bases, Group = 128, Bias = false };
            var greedy = Error(recipe with { Refinement = Refinement.None }, layer);
            var progressive = Error(recipe with { Refinement = Refinement.Gradient }, layer);
            var simultaneous = Error(recipe with { Refinement = Refinement.Simultaneous }, layer);
            var alternating = Error(recipe with { Starts = Starts.Greedy }, layer);
            TestContext.Current.TestOutputHelper!.WriteLine(
                $"N {bases}: greedy {greedy:f4}, at once {simultaneous:f4}, in turn {progressive:f4}, alternating {alternating:f4}");
            progressive.ShouldBeLessThan(simultaneous);
            simultaneous.ShouldBeLessThan(greedy);
            alternating.ShouldBeLessThan(progressive);
        }
    }

    private static double Error(Recipe recipe, LayerWeights layer) => new BasesMethod(recipe).Quantize(layer).Report.RelativeError;
}
