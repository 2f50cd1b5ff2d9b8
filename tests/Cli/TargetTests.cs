using Qbb.Checkpoints;
using Qbb.Tests;

namespace Qbb.Cli.Tests;

/// <summary>Results for other programs, from the command line.</summary>
public class TargetTests
{
    // Rows of 128 and 256.
    private static readonly string s_model = Reference.Path("gguf", "narrow-F16.gguf");

    [Fact]
    public void A_target_is_quantized_calibrated_exported_and_scored_alike()
    {
        using var folder = new TemporaryFolder();
        var text = folder.Write("text", string.Concat(Enumerable.Repeat("the cat sat on the mat by the river and the dog ran ", 30)));
        var (quantized, file) = (folder.File("q"), folder.File("q.gguf"));
        Done("quantize", s_model, "-o", quantized, "--target", "gguf-q4_1", "--text", text, "--calibration-context", "16", "--calibration-sequences", "8");
        var exported = QbbCommands.Run("export", quantized, "--format", "gguf-q4_1", "-o", file, "--json");
        exported.Code.ShouldBe(0, exported.Error);
        exported.Json["tensors"]!["Q4_1"]!.GetValue<int>().ShouldBe(14);
        exported.Json["bytes"]!.GetValue<long>().ShouldBe(new FileInfo(file).Length);
        using (var source = ModelSource.Open(file))
            source.GgufMetadata!["general.recipe"].ShouldBe(File.ReadAllText(Path.Combine(quantized, "recipe.json")).Trim());
        double[] scored = [.. new[] { quantized, file }.Select(model => QbbCommands.Run("eval", model, "--text", text, "--context", "16", "--windows", "4", "--json").Json["perplexity"]!.GetValue<double>())];
        // The processor's kernels round biases to fp16, and random weights make large logits.
        scored[0].ShouldBe(scored[1], 5e-3 * scored[1]);
        var inspected = QbbCommands.Run("inspect", quantized, "--json");
        inspected.Code.ShouldBe(0, inspected.Error);
        Done("export", s_model, "--format", "gguf-f32", "-o", folder.File("wide.gguf"));
        QbbCommands.Run("export", s_model, "--format", "gguf-f32", "-o", folder.File("wide.gguf")).Error.ShouldContain("--force");
    }

    [Fact]
    public void A_folder_for_other_programs_is_a_model_like_any()
    {
        using var folder = new TemporaryFolder();
        var text = folder.Write("text", string.Concat(Enumerable.Repeat("the cat sat on the mat by the river and the dog ran ", 30)));
        var (quantized, packed, next) = (folder.File("q"), folder.File("packed"), folder.File("next"));
        var made = QbbCommands.Run("quantize", s_model, "-o", quantized, "--target", "gptq", "--bases", "3", "--group", "256", "--text", text, "--calibration-context", "16", "--calibration-sequences", "8");
        made.Code.ShouldBe(0, made.Error);
        made.Error.ShouldContain("groups of 128: 256 does not divide all rows of this model");
        var exported = QbbCommands.Run("export", quantized, "--format", "gptq", "-o", packed, "--json");
        exported.Code.ShouldBe(0, exported.Error);
        exported.Json["description"]!.GetValue<string>().ShouldBe("GPTQ v1, 3 bits, groups of 128");
        double[] scored = [.. new[] { quantized, packed }.Select(model => QbbCommands.Run("eval", model, "--text", text, "--context", "16", "--windows", "4", "--json").Json["perplexity"]!.GetValue<double>())];
        // Weights are rounded to fp16 in the one, biases in the kernels of the other.
        scored[0].ShouldBe(scored[1], 2e-2 * scored[1]);
        var inspected = QbbCommands.Run("inspect", packed);
        inspected.Code.ShouldBe(0, inspected.Error);
        inspected.Out.ShouldContain("GPTQ v1, 3 bits, groups of 128");
        Done("compare", packed, "-o", folder.File("compared"), "--methods", "rtn", "--bases", "2", "--group", "64", "--context", "16", "--windows", "2");
        var compared = QbbCommands.Run("compare", s_model, "-o", folder.File("beside"), "--methods", "rtn", "--bases", "2", "--group", "64", "--beside", packed, "--context", "16", "--windows", "2", "--json");
        compared.Code.ShouldBe(0, compared.Error);
        compared.Json["rows"]!.AsArray().Select(row => row!["title"]!.ToString()).ShouldContain("packed (GPTQ v1, 3 bits, groups of 128)");
        compared.Json["rows"]![1]!["scores"]![0]!["kl"]!.GetValue<double>().ShouldBeGreaterThan(0);
        Done("generate", packed, "--prompt", "the cat", "--tokens", "2");
        Done("logits", packed, "--ids", "1,2,3");
        var again = QbbCommands.Run("quantize", packed, "-o", next, "--bases", "2", "--preset", "weights");
        again.Code.ShouldBe(0, again.Error);
        again.Error.ShouldContain("starts from weights that are quantized already: GPTQ v1, 3 bits, groups of 128");
        QbbCommands.Run("export", next, "--format", "hqq", "-o", folder.File("x")).Error.ShouldContain("use --format fp16, or quantize with --target hqq");
    }

    [Fact]
    public void The_plan_has_the_target()
    {
        var plan = QbbCommands.Run("quantize", s_model, "--plan", "--target", "gguf-q8_0", "--json");
        plan.Code.ShouldBe(0, plan.Error);
        plan.Json["preset"]!.GetValue<string>().ShouldBe("balanced");
        plan.Json["recipe"]!["decomposition"]!["target"]!.GetValue<string>().ShouldBe("gguf-q8_0");
        plan.Json["recipe"]!["decomposition"]!["bases"]!.GetValue<int>().ShouldBe(8);
        plan.Json["bitsPerWeight"]!.GetValue<double>().ShouldBe(8.5);
    }

    [Theory]
    [InlineData("--target gguf-q4_1 --bases 3", "leave out --bases")]
    [InlineData("--target gguf-q4_1 --group 64", "leave out --group")]
    [InlineData("--target gguf-q8_0 --sign-lr 0.001", "has a level that no weight may take")]
    [InlineData("--target gguf-q4_1 --bits 4", "leave out --size and --bits")]
    [InlineData("--target gguf-q4_1 --nested", "leave out nested")]
    [InlineData("--target gguf-q4_1 --embedding 4", "set embedding to 8 or 16")]
    [InlineData("--target gptq --bases 5", "target gptq has 2, 3, 4, 8")]
    [InlineData("--target hqq --embedding 8", "set embedding to 16")]
    [InlineData("--target gguf-q9", "gguf-q9")]
    public void What_does_not_go_with_a_target_is_refused(string options, string expected)
    {
        var result = QbbCommands.Run(["quantize", s_model, "--plan", .. options.Split(' ')]);
        result.Code.ShouldBe(2);
        result.Error.ShouldContain(expected);
    }

    [Fact]
    public void Rows_that_a_target_does_not_hold_are_refused_before_text_is_sampled()
    {
        var result = QbbCommands.Run("quantize", Reference.Path("architectures", "llama-mha"), "-o", Path.Combine(Path.GetTempPath(), "never"), "--target", "gguf-q2_0");
        result.Code.ShouldBe(2);
        result.Error.ShouldContain("its blocks are of 64 weights");
    }

    private static void Done(params string[] arguments)
    {
        var result = QbbCommands.Run(arguments);
        result.Code.ShouldBe(0, result.Error);
    }
}
