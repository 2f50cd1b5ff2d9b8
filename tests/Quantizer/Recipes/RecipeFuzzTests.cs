using System.Text;
using Qbb.Models;
using Qbb.Recipes;
using Qbb.Tests;

namespace Qbb.Quantizer.Tests.Recipes;

/// <summary>Damaged recipes: each is read, or refused by an exception of ours. QBB_FUZZ sets how many of each.</summary>
public class RecipeFuzzTests(ITestOutputHelper output)
{
    private const string OfALayer = """
        {"bases":2,"basesPerLayer":{"a":1,"b":3},"bias":false,"bits":2.5,"group":"row","importance":"diag","init":"non-cascaded","learningRate":0.5,"nested":true,
        "refinement":"gradient","rounds":15,"seed":-3,"starts":"both","steps":20,
        "distillation":{"accumulate":1,"batch":4,"clip":1.0,"learningRate":1e-3,"loss":"kl","steps":10,"type":"bf16","warmup":2}}
        """;

    private const string OfAPipeline = """
        {"decomposition":{"bases":2,"group":32,"importance":"full"},"sampling":{"sequences":8,"length":16,"temperature":0.9},
        "filter":{"keep":0.5},"distillation":{"steps":10,"loss":"kl"},"evaluation":{"sampling":{"sequences":2,"length":16},"windows":1}}
        """;

    [Theory]
    [InlineData(OfALayer, 301)]
    [InlineData(OfAPipeline, 302)]
    public void Damaged_recipes_are_read_or_refused(string recipe, int seed)
    {
        var random = new Random(seed);
        var (cases, read) = (JsonMutation.Cases(500), 0);
        for (var k = 0; k < cases; k++)
        {
            var text = Encoding.UTF8.GetString(JsonMutation.Of(Encoding.UTF8.GetBytes(recipe), random));
            try
            {
                if (RecipeCheck.Problems(text).Count == 0)
                    PipelineRecipe.Parse(text);
                Recipe.FromJson(text).Resolve();
                read++;
            }
            catch (InvalidInputException)
            {
            }
            catch (Exception e)
            {
                Assert.Fail($"seed {seed}, case {k}: {e}\n{text}");
            }
        }
        output.WriteLine($"seed {seed}: {read} of {cases} were read as recipes of layers");
    }
}
