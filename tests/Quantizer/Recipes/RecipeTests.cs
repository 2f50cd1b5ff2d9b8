using Qbb.Bases;
using Qbb.Models;
using Qbb.Recipes;

namespace Qbb.Quantizer.Tests.Recipes;

public class RecipeTests
{
    [Fact]
    public void A_recipe_allows_as_many_bases_as_the_weight_format() => Recipe.MostBases.ShouldBe(BinaryBases.MostBases);

    [Fact]
    public void Canonical_json_spells_every_choice_out_in_sorted_order()
    {
        new Recipe().ToCanonicalJson().ShouldBe(
            """{"decomposition":{"bases":4,"bias":true,"embedding":8,"group":128,"init":"cascaded","refinement":"alternating","rounds":15,"seed":0,"starts":"both"}}""");
        new Recipe
        {
            Bases = 2,
            Group = null,
            Bias = false,
            Init = Init.NonCascaded,
            Refinement = Refinement.Gradient,
            LearningRate = 0.5,
            Seed = -3,
        }.ToCanonicalJson().ShouldBe(
            """{"decomposition":{"bases":2,"bias":false,"embedding":8,"group":"row","init":"non-cascaded","learningRate":0.5,""" +
            "\"refinement\":\"gradient\",\"rounds\":15,\"seed\":-3,\"steps\":20}}");
    }

    [Theory]
    [InlineData(EmbeddingForm.Bits4, "4", 32), InlineData(EmbeddingForm.Bits6, "6", 32), InlineData(EmbeddingForm.Bits8, "8", 128)]
    [InlineData(EmbeddingForm.Bits16, "16", 32), InlineData(EmbeddingForm.Bases, "\"bases\"", 32)]
    public void The_form_of_the_embedding_is_a_number_of_bits_or_bases(EmbeddingForm form, string json, int group)
    {
        var recipe = new Recipe { Embedding = form };
        recipe.ToCanonicalJson().ShouldContain($"\"embedding\":{json},");
        Recipe.FromPart($"{{\"embedding\":{json}}}").ShouldBe(recipe.Resolve());
        recipe.EmbeddingGroup.ShouldBe(group);
        (recipe with { Group = 16 }).EmbeddingGroup.ShouldBe(16);
        (recipe with { Group = null }).EmbeddingGroup.ShouldBe(group);
    }

    [Theory]
    [InlineData("0"), InlineData("5"), InlineData("\"8\""), InlineData("null"), InlineData("8.5")]
    public void Other_forms_of_the_embedding_are_refused(string json) =>
        Should.Throw<InvalidInputException>(() => Recipe.FromPart($"{{\"embedding\":{json}}}")).Message.ShouldContain("known are 4, 6, 8, 16");

    [Fact]
    public void Importance_is_spelled_out_where_there_is_any()
    {
        foreach (var importance in new[] { Importance.Diag, Importance.Full })
        {
            var recipe = new Recipe { Importance = importance };
            recipe.ToCanonicalJson().ShouldContain($"\"importance\":\"{importance.ToString().ToLowerInvariant()}\"");
            Recipe.FromJson(recipe.ToCanonicalJson()).ShouldBe(recipe.Resolve());
        }
    }

    [Fact]
    public void Digest_depends_on_what_the_choices_resolve_to()
    {
        var recipe = new Recipe();
        recipe.Digest.Length.ShouldBe(64);
        recipe.Digest.ShouldBe(new Recipe { Rounds = 15, Starts = Starts.Both }.Digest);
        recipe.Digest.ShouldNotBe(new Recipe { Seed = 1 }.Digest);
        recipe.Digest.ShouldNotBe(new Recipe { Group = null }.Digest);
    }

    [Fact]
    public void Json_comes_back_as_the_same_recipe()
    {
        foreach (var init in Enum.GetValues<Init>())
        {
            foreach (var refinement in Enum.GetValues<Refinement>())
            {
                if (init.IsRounding() && refinement != Refinement.None && (refinement != Refinement.Alternating || init == Init.Awq))
                    continue;
                int? group = init == Init.Random ? null : 64;
                var recipe = new Recipe
                {
                    Bases = 3,
                    Group = group,
                    Init = init,
                    Refinement = refinement,
                    Seed = long.MaxValue,
                    Importance = init.NeedsInputs() || init.IsRounding() && refinement == Refinement.Alternating ? Importance.Full : Importance.None,
                };
                Recipe.FromJson(recipe.ToCanonicalJson()).ShouldBe(recipe.Resolve());
            }
        }
        Recipe.FromPart("{ \"bases\" : 2 }").ShouldBe(new Recipe { Bases = 2 }.Resolve());
    }

    [Fact]
    public void All_problems_are_listed_at_once()
    {
        var recipe = new Recipe { Bases = 9, Group = 0, Refinement = Refinement.None, Rounds = 3, Steps = 5 };
        var message = Should.Throw<InvalidInputException>(recipe.Resolve).Message;
        message.ShouldContain("bases is 9");
        message.ShouldContain("group is 0");
        message.ShouldContain("rounds is set");
        message.ShouldContain("steps is set");
    }

    public static TheoryData<Recipe, string> Contradictions => new()
    {
        { new Recipe { Bases = 0 }, "bases" },
        { new Recipe { Group = -128 }, "group" },
        { new Recipe { Rounds = -1 }, "rounds" },
        { new Recipe { Rounds = 0, Starts = Starts.Both }, "uniform start" },
        { new Recipe { Rounds = 0, Refinement = Refinement.Gradient }, "rounds" },
        { new Recipe { Init = Init.Random, Starts = Starts.Uniform }, "uniform start" },
        { new Recipe { Refinement = Refinement.Gradient, Starts = Starts.Greedy }, "starts" },
        { new Recipe { Refinement = Refinement.Gradient, Steps = 0 }, "steps" },
        { new Recipe { Refinement = Refinement.Gradient, LearningRate = double.NaN }, "learningRate" },
        { new Recipe { LearningRate = 0.1 }, "learningRate" },
        { new Recipe { Init = (Init)9 }, "named values" },
        { new Recipe { Init = Init.Rtn }, "refined for the layers' outputs only" },
        { new Recipe { Init = Init.Awq, Importance = Importance.Full }, "not refined" },
        { new Recipe { Init = Init.Gptq, Importance = Importance.Full, Rounds = 5 }, "rounds is set" },
        { new Recipe { Init = Init.RtnClip, Refinement = Refinement.None, Bias = false }, "needs a bias" },
        { new Recipe { Refinement = Refinement.Gradient, Importance = Importance.Full }, "importance" },
    };

    [Theory]
    [MemberData(nameof(Contradictions), DisableDiscoveryEnumeration = true)]
    public void A_recipe_that_makes_no_sense_is_refused(Recipe recipe, string named) =>
        Should.Throw<InvalidInputException>(recipe.Resolve).Message.ShouldContain(named);

    [Theory]
    [InlineData("[]", "JSON")]
    [InlineData("{", "JSON")]
    [InlineData("{\"bases\":\"two\"}", "bases is \"two\"")]
    [InlineData("{\"base\":2}", "base")]
    [InlineData("{\"init\":\"greedy\"}", "cascaded, random, non-cascaded")]
    [InlineData("{\"group\":\"column\"}", "group is \"column\"")]
    public void Json_that_is_no_recipe_is_refused(string json, string named) =>
        Should.Throw<InvalidInputException>(() => Recipe.FromPart(json)).Message.ShouldContain(named);
}
