using System.Text.Json.Nodes;

namespace Qbb.Contracts.Tests;

public class PipelineRecipeTests
{
    [Fact]
    public void The_order_of_members_does_not_matter() =>
        PipelineRecipe.Parse("""{ "decomposition": { "bases": 2, "group": 64 }, "evaluation": {} }""").Digest
            .ShouldBe(PipelineRecipe.Parse("""{ "decomposition": { "group": 64, "bases": 2 } }""").Digest);

    [Fact]
    public void Parts_follow_from_one_another()
    {
        var plain = PipelineRecipe.Parse("""{ "decomposition": {} }""");
        (plain.Sampling, plain.Filter, plain.IsCalibrated).ShouldBe((null, null, false));
        var calibrated = PipelineRecipe.Parse("""{ "decomposition": { "importance": "full" } }""");
        calibrated.Sampling.ShouldNotBeNull();
        calibrated.Filter.ShouldBeNull();
        calibrated.IsCalibrated.ShouldBeTrue();
        PipelineRecipe.Parse("""{ "decomposition": { "importance": "none" }, "distillation": {} }""").Filter.ShouldNotBeNull();
    }

    [Theory]
    [InlineData("{}", "F32", null, null)]
    [InlineData("{}", "Bf16", "Bf16", "bf16")]
    [InlineData("""{ "type": "f32" }""", "Bf16", "F32", null)]
    [InlineData("""{ "type": "bf16" }""", "F32", "Bf16", "bf16")]
    [InlineData("""{ "distillation": { "type": "bf16" } }""", "F32", "Bf16", "bf16")]
    [InlineData("""{ "distillation": { "type": "f32" } }""", "Bf16", null, "f32")]
    [InlineData("""{ "type": "bf16", "distillation": { "type": "f32" } }""", "F32", "Bf16", "f32")]
    public void A_type_is_filled_in_where_the_recipe_names_none(string named, string usual, string? type, string? trained)
    {
        var json = (JsonObject)JsonNode.Parse(named)!;
        json["decomposition"] = new JsonObject();
        json["distillation"] ??= new JsonObject();
        var recipe = PipelineRecipe.Parse(json.ToJsonString()).WithType(Enum.Parse<Precision>(usual));
        recipe.Type?.ToString().ShouldBe(type);
        recipe.Distillation!["type"]?.ToString().ShouldBe(trained);
        (recipe.NamedType ?? Precision.F32).ToString().ShouldBe(type ?? "F32");
        PipelineRecipe.Parse(recipe.ToJson()).Digest.ShouldBe(recipe.Digest);
    }

    [Fact]
    public void A_preset_stands_for_data_and_training()
    {
        var recipe = PipelineRecipe.Parse("""{ "preset": "balanced", "decomposition": { "bases": 2 }, "evaluation": { "windows": 5 } }""");
        (recipe.Preset, recipe.Sampling, recipe.Distillation, recipe.WithType(Precision.Bf16).Type).ShouldBe(("balanced", null, null, null));
        PipelineRecipe.Parse(recipe.ToJson()).Digest.ShouldBe(recipe.Digest);
        PipelineRecipe.Parse("""{ "preset": "fast" }""").Decomposition.Count.ShouldBe(0);

        var message = Should.Throw<FormatException>(() => PipelineRecipe.Parse("""{ "preset": "best", "sampling": {}, "distillation": {}, "type": "bf16" }""")).Message;
        message.ShouldContain("preset chooses sampling: leave one of them out; preset chooses distillation: leave one of them out; preset chooses type");
        Should.Throw<FormatException>(() => PipelineRecipe.Parse("""{ "preset": 3 }""")).Message.ShouldContain("preset must be the name of a preset");
    }

    [Fact]
    public void Another_type_is_refused() =>
        Should.Throw<FormatException>(() => PipelineRecipe.Parse("""{ "decomposition": {}, "type": "fp8" }""")).Message.ShouldContain("type must be one of f32, bf16");

    [Fact]
    public void Everything_that_is_wrong_is_listed()
    {
        var message = Should.Throw<FormatException>(() => PipelineRecipe.Parse("""
            { "decompositon": {}, "decomposition": { "distillation": {} }, "sampling": {}, "filter": {}, "evaluation": { "text": "x", "sampling": {} } }
            """)).Message;
        message.ShouldContain("unknown member decompositon");
        message.ShouldContain("distillation belongs beside decomposition");
        message.ShouldContain("filter is given but nothing is distilled");
        message.ShouldContain("sampling is given but");
        message.ShouldContain("evaluation.text is not a digest");
        message.ShouldContain("both text and sampling");
    }

    [Theory]
    [InlineData("")]
    [InlineData("[]")]
    [InlineData("null")]
    [InlineData("{")]
    [InlineData("""{ "decomposition": {}, "decomposition": {} }""")]
    public void What_is_no_object_is_refused(string json) => Should.Throw<FormatException>(() => PipelineRecipe.Parse(json));
}
