using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Qbb.Tests;

namespace Qbb.Cli.Tests;

/// <summary>Every command through its front door, on the small reference models.</summary>
public class CommandTests
{
    private static readonly string s_teacher = Path.Combine(Reference.Root, "samples", "teacher");

    // Of the sample teacher, tied, 4,096 × 256 in groups of 32: a scale a group, 8 bits a weight and 16 a scale; 17 norms of 256 in 16 bits.
    private const long HeadOperations = 1_048_576 + 32_768, HeadBytes = 1_048_576 + 2 * 32_768, NormBytes = 17 * 256 * 2;
    private static readonly string s_model = Reference.Path("gguf", "narrow-F16.gguf");

    [Theory]
    [InlineData("quantize"), InlineData("eval"), InlineData("inspect"), InlineData("generate"), InlineData("export"), InlineData("tokenize"), InlineData("logits"), InlineData("compare"), InlineData("distill")]
    public void Help_has_examples(string command)
    {
        var result = QbbCommands.Run(command, "--help");
        result.Code.ShouldBe(0);
        result.Out.ShouldContain("Examples:");
        result.Out.ShouldContain($"qbb {command} ");
        result.Out.ShouldContain("--json");
    }

    [Fact]
    public void The_main_help_names_what_users_need_and_hides_the_rest()
    {
        var result = QbbCommands.Run("--help");
        result.Code.ShouldBe(0);
        result.Out.ShouldContain("quantize");
        result.Out.Split('\n').ShouldNotContain(line => line.StartsWith("  train", StringComparison.Ordinal));
    }

    [Fact]
    public void A_model_is_quantized_scored_generated_from_and_exported()
    {
        using var folder = new TemporaryFolder();
        var text = folder.Write("text", string.Concat(Enumerable.Repeat("the cat sat on the mat by the river and the dog ran ", 30)));
        var quantized = QbbCommands.Run("quantize", s_model, "-o", folder.File("q"), "--bases", "3", "--group", "32", "--preset", "weights", "--json");
        quantized.Code.ShouldBe(0, quantized.Error);
        ((double)quantized.Json["bitsPerWeight"]!).ShouldBe(3 + 16 * 4 / 32.0);
        ((int)quantized.Json["layers"]!).ShouldBe(14);
        var inspected = QbbCommands.Run("inspect", folder.File("q"), "--json").Json;
        ((string)inspected["quantization"]!).ShouldBe("qbb");

        var score = QbbCommands.Run("eval", folder.File("q"), "--teacher", s_model, "--text", text, "--context", "32", "--json").Json;
        var own = QbbCommands.Run("eval", s_model, "--text", text, "--context", "32", "--json").Json;
        string[] fields = ["perplexity", "windows", "tokens", "context", "kl", "top1", "bytes", "bitsPerWeight", "bitsPerParameter"];
        foreach (var field in fields)
            score.ContainsKey(field).ShouldBeTrue(field);
        foreach (var size in new[] { "bytes", "bitsPerWeight", "bitsPerParameter" })
            new[] { (double)score[size]!, (double)inspected[size]! }.ShouldAllBe(value => value == (double)quantized.Json[size]!, size);
        ((double)own["bytes"]!).ShouldBe((double)quantized.Json["sourceBytes"]!);
        ((double)score["kl"]!).ShouldBeInRange(1e-6, 5);
        own["kl"].ShouldBeNull();
        ((int)score["windows"]!).ShouldBe((int)own["windows"]!);
        Math.Log((double)score["perplexity"]! / (double)own["perplexity"]!).ShouldBeInRange(-2, 2);

        QbbCommands.Run("export", folder.File("q"), "-o", folder.File("plain"), "--format", "fp32", "--json").Code.ShouldBe(0);
        var plain = Logits(folder.File("plain"));
        var packed = Logits(folder.File("q"));
        for (var k = 0; k < plain.Length; k++)
            plain[k].ShouldBe(packed[k], 1e-3);
        QbbCommands.Run("inspect", folder.File("plain"), "--json").Json["quantization"].ShouldBeNull();
        QbbCommands.Run("inspect", folder.File("q"), "--json").Json["quantization"]!.ToString().ShouldBe("qbb");

        var first = QbbCommands.Run("generate", folder.File("q"), "--prompt", "the cat", "-n", "8", "--seed", "5", "--json").Json;
        var again = QbbCommands.Run("generate", folder.File("q"), "--prompt", "the cat", "-n", "8", "--seed", "5", "--json").Json;
        first["samples"]!.ToJsonString().ShouldBe(again["samples"]!.ToJsonString());
    }

    [Fact]
    public void Tokens_and_text_come_back()
    {
        var result = QbbCommands.Run("tokenize", s_model, "--text", "the cat sat", "--json");
        result.Json["text"]!.ToString().ShouldContain("the cat sat");
        using var folder = new TemporaryFolder();
        File.Copy(Reference.Path("tokenizers", "gpt2", "tokenizer.json"), folder.File("tokenizer.json"));
        QbbCommands.Run("tokenize", folder.Path, "--file", folder.Write("t", "hello"), "--json").Json["text"]!.ToString().ShouldBe("hello");
    }

    [Fact]
    public void Logits_equal_the_reference()
    {
        var golden = JsonNode.Parse(File.ReadAllText(Reference.Path("architectures", "qwen3", "golden.json")))!;
        var ids = golden["input_ids"]![0]!.AsArray().Select(n => (int)n!).ToArray();
        var rows = QbbCommands.Run("logits", Reference.Path("architectures", "qwen3"), "--ids", string.Join(',', ids), "--json").Json["logits"]!.AsArray();
        rows.Count.ShouldBe(ids.Length);
        var position = (int)golden["positions"]![1]!;
        ((double)rows[position]![7]!).ShouldBe((double)golden["logits"]![0]![1]![7]!, 1e-4);
    }

    [Fact]
    public void Inspect_reads_one_file_alone()
    {
        QbbCommands.Run("inspect", Reference.Path("architectures", "gpt2", "model.safetensors"), "--json").Json["kind"]!.ToString().ShouldBe("safetensors");
        QbbCommands.Run("inspect", s_model).Out.ShouldContain("blk.{0-1}.attn_q.weight");
    }

    [Fact]
    public void Comparing_gives_a_row_per_method()
    {
        using var folder = new TemporaryFolder();
        string[] arguments = ["compare", s_teacher, "-o", folder.File("c"), "--context", "16", "--sequences", "8", "--length", "16", "--json"];
        var rows = Rows(QbbCommands.Run([.. arguments, "--windows", "2", "--methods", "rtn,gptq,quip", "--bases", "3", "--group", "32"]));
        CheckWork(rows[0], 6_553_600, 6_553_600, 2 * 6_553_600 + NormBytes);
        // Codes of 3 bits with 19 for scale and zero point of each of 172,032 groups, their sums of 2,176 inputs a block, and the head in 8 bits.
        foreach (var row in rows[1..3])
            CheckWork(row, 5_505_024 + 2 * 172_032 + HeadOperations, 5_505_024 + 2 * 172_032 + 8 * 2_176 + HeadOperations, (3 * 5_505_024 + 19 * 172_032) / 8 + HeadBytes + NormBytes);
        // Two codebooks, a scale a row, and transforms of 256, 128 and 640 numbers in additions alone.
        CheckWork(rows[3], 2 * 5_505_024 + 8 * (2_048 + 256) + 1_048_576, null, null);
        rows.Select(row => row["title"]!.ToString()).ShouldBe(["teacher", "rtn, 3 bits, g = 32", "gptq, 3 bits, g = 32", "quip, 3 bits"]);
        rows.ShouldAllBe(row => (double)row["scores"]![0]!["perplexity"]! > 1);
        // GPTQ by its own format: 3 + (16 + 3) / 32.
        ((double)rows[2]["bitsPerWeight"]!).ShouldBe(3.59375, 1e-9);
        ((double)rows[3]["bitsPerWeight"]!).ShouldBeInRange(3, 3.1);
        var page = File.ReadAllText(folder.File("c/index.html"));
        page.ShouldContain("<svg");
        foreach (var row in rows)
            page.ShouldContain($"<td>{row["title"]}</td>");
        File.ReadAllText(folder.File("c/report.md")).ShouldContain("| gptq, 3 bits, g = 32 |");

        // Again with a method more: nothing is made twice.
        var made = Directory.GetLastWriteTimeUtc(folder.File("c/gptq-3-g32"));
        var again = Rows(QbbCommands.Run([.. arguments, "--windows", "2", "--methods", "gptq", "qbb", "--bases", "3", "--group", "32"]));
        again.Select(row => row["method"]!.ToString()).ShouldBe(["teacher", "gptq", "qbb"]);
        // Three bases and a bias: four products a group, three additions a weight.
        CheckWork(again[2], 4 * 172_032 + HeadOperations, 3 * 5_505_024 + 4 * 172_032 + 8 * 2_176 + HeadOperations, (3 * 5_505_024 + 64 * 172_032) / 8 + HeadBytes + NormBytes);
        again[1].ToJsonString().ShouldBe(rows[2].ToJsonString());
        Directory.GetLastWriteTimeUtc(folder.File("c/gptq-3-g32")).ShouldBe(made);
        // Another comparison does not replace it unasked.
        var other = QbbCommands.Run([.. arguments, "--windows", "3"]);
        other.Code.ShouldBe(2);
        other.Error.ShouldContain("holds a comparison of another model, text or data");

        static void CheckWork(JsonObject row, long multiplications, long? additions, long? bytes)
        {
            var work = row["work"]!;
            ((long)work["operations"]!["multiplications"]!).ShouldBe(multiplications, row["title"]!.ToString());
            ((long)work["operations"]!["additions"]!).ShouldBe(additions ?? (long)work["operations"]!["additions"]!, row["title"]!.ToString());
            ((long)work["weightBytes"]!).ShouldBe(bytes ?? (long)work["weightBytes"]!, row["title"]!.ToString());
            // Two key-value heads of 64 in 8 blocks, in 16 bits, for the 16 tokens of a window.
            ((long)work["bytes"]! - (long)work["weightBytes"]!).ShouldBe(16 * 2 * 2 * 8 * 2 * 64);
        }
    }

    /// <summary>The model of a cell is that of the command with the same recipe and text.</summary>
    [Fact]
    public void Comparing_calibrates_on_a_text()
    {
        using var folder = new TemporaryFolder();
        var text = folder.File("text.txt");
        File.WriteAllText(text, string.Join(' ', Enumerable.Range(0, 120).Select(k => $"the {k % 37} sea and the {k % 11} ship")));
        var compared = QbbCommands.Run("compare", s_teacher, "-o", folder.File("c"), "--methods", "fp16,gptq", "--bits", "3", "--group", "32", "--calibration-text", text, "--context", "16", "--windows", "1");
        compared.Code.ShouldBe(0, compared.Error);
        compared.Error.ShouldContain("fewer than 128: calibrating on all of them");
        File.ReadAllText(folder.File("c/report.md")).ShouldContain("tokens of a text.");
        Directory.Exists(folder.File("c/data")).ShouldBeFalse("nothing needs samples");
        QbbCommands.Run("quantize", s_teacher, "-o", folder.File("q"), "--text", text, "--calibration-context", "256",
            "--init", "gptq", "--refine", "none", "-n", "3", "-g", "32").Code.ShouldBe(0);
        foreach (var file in Directory.EnumerateFiles(folder.File("q"), "*.safetensors"))
            File.ReadAllBytes(Path.Combine(folder.File("c/gptq-3-g32"), Path.GetFileName(file))).ShouldBe(File.ReadAllBytes(file));
    }

    /// <summary>Every recipe of a cell runs alone too: here as a row.</summary>
    [Fact]
    public void Comparing_has_the_other_methods_and_starts()
    {
        using var folder = new TemporaryFolder();
        var text = folder.Write("text", string.Join(' ', Enumerable.Range(0, 400).Select(k => $"the cat sat on the mat by the {k % 37} rivers and the {k % 11} dogs")));
        string[] methods = ["awq", "omniquant", "qbb-init", "qbb-from-rtn", "qbb-from-gptq"];
        var rows = Rows(QbbCommands.Run("compare", s_model, "-o", folder.File("c"), "--context", "16", "--windows", "1", "--calibration-text", text,
            "--methods", string.Join(',', methods), "--bases", "3", "--group", "32", "--json"));
        rows.Select(row => row["method"]!.ToString()).ShouldBe(["teacher", .. methods]);
        // Their own formats: 3 bits, and 16 + 3 for every 32; of bases four numbers of 16.
        rows.Skip(1).Select(row => (double)row["bitsPerWeight"]!).ShouldBe([3.59375, 3.59375, 5, 5, 5]);
        foreach (var row in rows.Skip(1))
            ((double)row["scores"]![0]!["kl"]!).ShouldBeGreaterThan(0, row["title"]!.ToString());
    }

    [Fact]
    public void Comparing_can_add_speed_and_figures_of_layers()
    {
        using var folder = new TemporaryFolder();
        string[] arguments = ["compare", s_model, "-o", folder.File("c"), "--context", "16", "--windows", "1", "--methods", "rtn", "--bases", "2", "--group", "32", "--threads", "1", "--json"];
        var plain = Rows(QbbCommands.Run(arguments));
        plain.ShouldAllBe(row => row["speed"] == null);
        File.ReadAllText(folder.File("c/index.html")).ShouldNotContain("tokens/s</th>");

        var timed = Rows(QbbCommands.Run([.. arguments, "--speed", "--layers"]));
        foreach (var row in timed)
        {
            ((double)row["speed"]!["tokensPerSecond"]!).ShouldBePositive();
            row["speed"]!["device"]!.ToString().ShouldBe("cpu, 1 thread");
        }
        var page = File.ReadAllText(folder.File("c/index.html"));
        page.ShouldContain("<th scope=\"col\">tokens/s</th>");
        // Perplexity, divergence, speed, and four of layers, each with its numbers.
        Regex.Count(page, "<figure>").ShouldBe(7);
        Regex.Count(page, "<svg").ShouldBe(7);
        Regex.Count(page, "<details>").ShouldBe(4);
        page.ShouldContain("<td>1 down</td>");
        var report = JsonNode.Parse(File.ReadAllText(folder.File("c/report.json")))!;
        var layers = report["layers"]!["layers"]!.AsArray();
        layers.Count.ShouldBe(14);
        layers[0]!["inits"]!.AsArray().Select(init => init!["init"]!.ToString()).ShouldBe(["random", "non-cascaded", "cascaded"]);
        File.ReadAllText(folder.File("c/report.md")).ShouldContain("| 0 q |");

        // Again: nothing is measured or decomposed twice.
        var again = Rows(QbbCommands.Run([.. arguments, "--speed", "--layers"]));
        again.Select(row => row.ToJsonString()).ShouldBe(timed.Select(row => row.ToJsonString()));
        JsonNode.Parse(File.ReadAllText(folder.File("c/report.json")))!.ToJsonString().ShouldBe(report.ToJsonString());
    }

    private static List<JsonObject> Rows(QbbProcess.Result result)
    {
        result.Code.ShouldBe(0, result.Error);
        return [.. result.Json["rows"]!.AsArray().Select(row => row!.AsObject())];
    }

    private static double[] Logits(string model) =>
        [.. QbbCommands.Run("logits", model, "--ids", "1,5,9,20", "--json").Json["logits"]!.AsArray().SelectMany(row => row!.AsArray()).Select(n => (double)n!)];
}
