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
