using System.Text;
using Qbb.Models;
using Qbb.Recipes;
using Qbb.Tests;

namespace Qbb.Quantizer.Tests.Recipes;

/// <summary>Damaged recipes: each is read, or refused by an exception of ours. QBB_FUZZ sets how many of each.</summary>
public class RecipeFuzzTests(ITestOutputHelper output)
{
    private const string OfALayer = """
        {"bases":2,"bias":false,"group":"row","init":"non-cascaded","learningRate":0.5,"refinement":"gradient","rounds":15,"seed":-3,"steps":20}
        """;

    private const string OfAPipeline = """
        {"decomposition":{"bases":2,"group":32,"importance":"full"},"sampling":{"sequences":8,"length":16,"temperature":0.9},"filter":{},
        "distillation":{"steps":10,"loss":"kd"},"evaluation":{"sampling":{"sequences":2,"length":16}}}
        """;

    [Theory]
    [InlineData(OfALayer, 301)]
    [InlineData(OfAPipeline, 302)]
    public void Damaged_recipes_are_read_or_refused(string recipe, int seed)
    {
        var random = new Random(seed);
        var (cases, read) = (JsonMutation.Cases(500), 0);
        Read(recipe).ShouldBeTrue(string.Join("; ", RecipeCheck.Problems(recipe)));
        for (var k = 0; k < cases; k++)
        {
            var text = Encoding.UTF8.GetString(JsonMutation.Of(Encoding.UTF8.GetBytes(recipe), random));
            try
            {
                read += Read(text) ? 1 : 0;
            }
            catch (InvalidInputException)
            {
            }
            catch (Exception e)
            {
                Assert.Fail($"seed {seed}, case {k}: {e}\n{text}");
            }
        }
        output.WriteLine($"seed {seed}: {read} of {cases} were read, the others refused");
        read.ShouldBeInRange(1, cases - 1);
    }

    /// <summary>As a pipeline's where it has its parts, else as a layer's; a pipeline's problems are listed, not thrown.</summary>
    private static bool Read(string text)
    {
        var isPipeline = RecipeCheck.Problems(text).Count == 0;
        if (isPipeline)
            PipelineRecipe.Parse(text);
        else if (!text.Contains("decomposition", StringComparison.Ordinal))
            Recipe.FromPart(text).Resolve();
        return isPipeline || !text.Contains("decomposition", StringComparison.Ordinal);
    }
}
