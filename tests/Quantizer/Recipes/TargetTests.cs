using Qbb.Contracts;
using Qbb.Recipes;

namespace Qbb.Quantizer.Tests.Recipes;

public class TargetTests
{
    [Fact]
    public void A_recipe_that_names_a_target_has_its_bases_group_and_bias()
    {
        foreach (var target in Target.All)
        {
            var recipe = Recipe.FromPart($$"""{"target":"{{target.Name}}"}""");
            (recipe.Bases, recipe.Group, recipe.Bias, recipe.EmbeddingGroup).ShouldBe((target.Bases, target.Group, target.Bias, 32));
            Recipe.FromJson(recipe.ToCanonicalJson()).ShouldBe(recipe);
            recipe.Digest.ShouldNotBe((recipe with { Target = null, Starts = null }).Digest);
        }
        Target.All.Select(target => new Recipe().For(target).Digest).ShouldBeUnique();
    }

    [Theory]
    [InlineData("""{"target":"gguf-q4_1","bases":3}""", "leave out bases, group and bias")]
    [InlineData("""{"bases":3,"target":"gguf-q4_1"}""", "leave out bases, group and bias")]
    [InlineData("""{"target":"gguf-q4_1","group":128}""", "4 bases in groups of 32 with a bias")]
    [InlineData("""{"target":"gguf-q1_0","bias":true}""", "1 bases in groups of 128 without a bias")]
    [InlineData("""{"target":"gguf-q4_1","nested":true}""", "leave out nested")]
    [InlineData("""{"target":"gguf-q4_1","embedding":4}""", "set embedding to 8 or 16")]
    [InlineData("""{"target":"gguf-q4_1","starts":"both"}""", "starting points of its own")]
    [InlineData("""{"target":"gguf-q4_1","init":"random"}""", "cascaded init")]
    [InlineData("""{"target":"gguf-q9_9"}""", "known are gguf-q4_1, gguf-q4_0")]
    [InlineData("""{"target":"gptq","bases":5}""", "bases is 5, and target gptq has 2, 3, 4, 8")]
    [InlineData("""{"target":"hqq","embedding":8}""", "set embedding to 16")]
    [InlineData("""{"target":7}""", "target is 7")]
    public void Choices_that_contradict_a_target_are_refused(string json, string expected) =>
        Should.Throw<InvalidInputException>(() => Recipe.FromPart(json)).Message.ShouldContain(expected);

    [Fact]
    public void A_distillation_trains_signs_only_where_every_level_may_be_taken()
    {
        foreach (var target in Target.All)
            new Recipe { Distillation = new() }.For(target).Resolve().Distillation.ShouldNotBeNull();
        new Recipe { Distillation = new() { SignRate = 0.001 } }.For(Target.Parse("gguf-q4_0")).Resolve().Distillation!.SignRate.ShouldBe(0.001);
        Should.Throw<InvalidInputException>(() => new Recipe { Distillation = new() { SignRate = 0.001 } }.For(Target.Parse("gguf-q8_0")).Resolve())
            .Message.ShouldContain("leave out signRate");
        RecipeCheck.Problems("""{"decomposition":{"target":"gguf-q8_0"},"distillation":{"signRate":0.001}}""").Single().ShouldContain("leave out signRate");
    }

    [Fact]
    public void Rows_that_are_no_whole_groups_are_refused_with_the_targets_that_hold_them()
    {
        var error = Should.Throw<InvalidInputException>(() => Target.Parse("gguf-q1_0").CheckRows("model.layers.0.q_proj.weight", 576));
        error.Message.ShouldBe("model.layers.0.q_proj.weight has rows of 576 weights, which gguf-q1_0 cannot hold: its blocks are of 128 weights: "
            + "use --target gguf-q4_1 or gguf-q4_0 or gguf-q5_1 or gguf-q8_0 or gguf-q2_0");
        Should.Throw<InvalidInputException>(() => Target.Parse("gguf-q4_1").CheckRows("w", 20)).Remedy.ShouldBe("quantize without --target");
        Target.Parse("gguf-q4_1").CheckRows("w", 64);
    }

    [Fact]
    public void Exports_are_part_of_a_recipe()
    {
        var recipe = Recipe.FromPart("""{"target":"gptq","exports":["gptq-v2","gptq","hqq","gptq","gguf-f16","awq"]}""");
        recipe.Exports!.Names.ShouldBe(["awq", "gguf-f16", "gptq", "gptq-v2", "hqq"]);
        recipe.ToCanonicalJson().ShouldContain("\"embedding\":16,\"exports\":[\"awq\",\"gguf-f16\",\"gptq\",\"gptq-v2\",\"hqq\"],\"group\":128");
        Recipe.FromJson(recipe.ToCanonicalJson()).ShouldBe(recipe);
        recipe.Digest.ShouldNotBe((recipe with { Exports = null }).Digest);
        RecipeCheck.Problems("""{"decomposition":{"target":"gguf-q4_1","importance":"full","exports":["gguf-q4_1"]}}""").ShouldBeEmpty();
        RecipeCheck.Problems("""{"decomposition":{"target":"gptq","importance":"full","exports":["gptq","awq"]},"distillation":{}}""").ShouldBeEmpty();
        RecipeCheck.Problems("""{"decomposition":{"bases":3,"exports":["gptq"]}}""").Single().ShouldContain("exports has gptq, which does not hold levels of no target: set target to gptq");
    }

    [Theory]
    [InlineData("""{"exports":"gptq"}""", "it must be a list of gguf-f16, gguf-f32, gguf-q4_1")]
    [InlineData("""{"target":"gptq","exports":["q9"]}""", "exports has q9; known are gguf-f16")]
    [InlineData("""{"target":"hqq","exports":["gptq"]}""", "does not hold levels of target hqq with 4 bases: set target to gptq")]
    [InlineData("""{"target":"gptq","bases":3,"exports":["awq"]}""", "does not hold levels of target gptq with 3 bases")]
    [InlineData("""{"target":"gguf-q4_0","exports":["gguf-q4_1"]}""", "set target to gguf-q4_1")]
    public void Exports_that_do_not_fit_are_refused(string json, string expected) =>
        Should.Throw<InvalidInputException>(() => Recipe.FromPart(json)).Message.ShouldContain(expected);

    [Fact]
    public void Groups_that_divide_are_taken()
    {
        var recipe = new Recipe { Bases = 3 }.For(Target.Parse("gptq"));
        Target.FitGroup(recipe, [256, 640]).ShouldBe(recipe);
        Target.FitGroup(recipe, [576, 1536]).Group.ShouldBe(64);
        Target.FitGroup(recipe with { Group = 512 }, [128, 256]).Group.ShouldBe(128);
        Target.FitGroup(recipe with { Group = null }, [50]).Group.ShouldBeNull();
        Target.FitGroup(new Recipe().For(Target.Parse("gguf-q1_0")), [576]).Group.ShouldBe(128);
        var error = Should.Throw<InvalidInputException>(() => Target.FitGroup(recipe, [256, 80]));
        error.Message.ShouldBe("rows of 80 weights do not divide into groups of 128, 64 or 32, and gptq has whole groups only: use --group row");
        Recipe.FromPart("""{"target":"hqq","bases":2,"group":64,"bias":false}""").ToCanonicalJson().ShouldContain("\"bases\":2,\"bias\":false,\"embedding\":16,\"group\":64");
    }

    [Fact]
    public void A_layer_on_a_grid_takes_a_step_and_where_free_a_minimum()
    {
        StoredBytes.Layer(10, 64, new Recipe().For(Target.Parse("gguf-q4_1"))).ShouldBe(10 * (4 * 8 + 2 * 2 * 2));
        StoredBytes.Layer(10, 64, new Recipe().For(Target.Parse("gguf-q4_0"))).ShouldBe(10 * (4 * 8 + 2 * 2));
        StoredBytes.Layer(10, 128, new Recipe().For(Target.Parse("gguf-q1_0"))).ShouldBe(10 * (16 + 2));
        StoredBytes.Layer(10, 128, new Recipe().For(Target.Parse("gptq"))).ShouldBe(10 * (4 * 16 + 2 * 2));
        StoredBytes.Layer(10, 128, new Recipe { Bias = false }.For(Target.Parse("gptq"))).ShouldBe(10 * (4 * 16 + 2));
    }
}
