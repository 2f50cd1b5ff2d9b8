using System.Diagnostics;
using Qbb.Tests;

namespace Qbb.Cli.Tests;

/// <summary>What is wrong with the input is said on stderr, with exit code 2, and nothing is left behind.</summary>
public class BadInputTests
{
    private static readonly string s_model = Reference.Path("gguf", "narrow-F16.gguf");

    [Fact]
    public void Each_mistake_is_named()
    {
        using var folder = new TemporaryFolder();
        var shortText = folder.Write("short", "the cat");
        Directory.CreateDirectory(folder.File("taken"));
        File.WriteAllText(Path.Combine(folder.File("taken"), "precious"), "");
        File.WriteAllBytes(folder.File("pickle.bin"), [0x80, 2]);
        File.WriteAllBytes(folder.File("torn.gguf"), File.ReadAllBytes(s_model)[..1000]);
        (string[] Arguments, string Says)[] cases =
        [
            (["quantize", "/no/such", "-o", folder.File("o")], "/no/such"),
            (["quantize", s_model, "-o", folder.File("o"), "--bases", "9"], "bases is 9"),
            (["quantize", s_model, "-o", folder.File("o"), "--group", "0"], "group is 0"),
            (["quantize", s_model, "-o", folder.File("o"), "--group", "-4"], "group is -4"),
            (["quantize", s_model, "-o", folder.File("o"), "--group", "many"], "--group is 'many'"),
            (["quantize", s_model, "-o", folder.File("taken")], "--force"),
            (["quantize", s_model, "-o", "/proc/nowhere/o"], "/proc/nowhere"),
            (["quantize", folder.File("pickle.bin"), "-o", folder.File("o")], "safetensors"),
            (["quantize", folder.File("torn.gguf"), "-o", folder.File("o")], "torn.gguf"),
            (["eval", s_model, "--text", shortText], "one window"),
            (["eval", s_model, "--text", "/no/text"], "/no/text"),
            (["eval", s_model, "--text", shortText, "--context", "1"], "context"),
            (["eval", s_model, "--text", shortText, "--device", "gpu"], "gpu"),
            (["eval", s_model, "--text", shortText, "--device", "cuda:97"], "cuda:97"),
            (["logits", s_model, "--ids", "1,99999"], "99999"),
            (["logits", s_model, "--ids", "x"], "'x'"),
            (["tokenize", s_model], "--text"),
            (["export", s_model, "-o", folder.File("o"), "--format", "fp8"], "fp8"),
            (["quantize"], "MODEL"),
            (["conquer"], "conquer"),
        ];
        foreach (var (arguments, says) in cases)
        {
            var result = QbbCommands.Run(arguments);
            result.Code.ShouldBe(2, string.Join(' ', arguments) + "\n" + result.Error);
            result.Error.ShouldContain(says);
            result.Error.ShouldNotContain("   at ");
        }
        Directory.EnumerateFileSystemEntries(folder.Path).Select(Path.GetFileName).Order().ShouldBe(["pickle.bin", "short", "taken", "torn.gguf"]);
        Directory.EnumerateFileSystemEntries(folder.File("taken")).Select(Path.GetFileName).ShouldBe(["precious"]);
    }

    [Fact]
    public void A_text_with_tokens_beyond_the_embedding_is_refused_and_others_are_not()
    {
        using var folder = new TemporaryFolder();
        foreach (var file in new[] { "config.json", "model.safetensors" })
            File.Copy(Reference.Path("architectures", "llama-mha", file), folder.File(file));
        File.Copy(Reference.Path("tokenizers", "gpt2", "tokenizer.json"), folder.File("tokenizer.json"));
        var within = QbbCommands.Run("generate", folder.Path, "--prompt", "x", "--tokens", "2", "--json");
        within.Code.ShouldBe(0, within.Error);
        within.Error.ShouldContain("warning");
        within.Json["warnings"]![0]!.GetValue<string>().ShouldContain("1101 tokens but the model's vocabulary only 256");
        var beyond = QbbCommands.Run("generate", folder.Path, "--prompt", "the other");
        beyond.Code.ShouldBe(2);
        beyond.Error.ShouldContain("outside the vocabulary of 256");
    }

    [Fact]
    public void Ctrl_C_ends_with_130_and_leaves_no_output()
    {
        using var folder = new TemporaryFolder();
        // Gradient refinement with many steps takes minutes even on this small model.
        using var process = QbbProcess.Start("quantize", s_model, "-o", folder.File("o"), "--bases", "8", "--group", "32", "--allow-larger", "--refine", "gradient", "--steps", "5000", "--rounds", "50");
        // It listens to the signal before it begins to work.
        SpinWait.SpinUntil(() => process.HasExited || File.Exists(folder.File(".o.partial/lock")), TimeSpan.FromMinutes(1)).ShouldBeTrue();
        process.HasExited.ShouldBeFalse();
        using (var kill = Process.Start("kill", ["-INT", $"{process.Id}"]))
            kill.WaitForExit();
        process.WaitForExit(60_000).ShouldBeTrue();
        process.ExitCode.ShouldBe(130);
        Directory.Exists(folder.File("o")).ShouldBeFalse();
        process.StandardError.ReadToEnd().ShouldContain("cancelled");
    }
}
