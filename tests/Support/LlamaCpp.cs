using System.Diagnostics;
using System.Text.Json;

namespace Qbb.Tests;

/// <summary>llama.cpp itself, where npm has installed it in tests/peers/llamacpp.</summary>
internal static class LlamaCpp
{
    private static readonly JsonSerializerOptions s_json = new(JsonSerializerDefaults.Web);

    private static string Folder => Path.Combine(Reference.Root, "tests", "peers", "llamacpp");

    /// <summary>The folder of its libraries; skips the test where there is none.</summary>
    public static string Libraries
    {
        get
        {
            var folder = Path.Combine(Folder, "node_modules", "@node-llama-cpp", "linux-x64", "bins", "linux-x64");
            Assert.SkipUnless(Directory.Exists(folder), "compares with llama.cpp: make npm-packages");
            return folder;
        }
    }

    /// <summary>All GGUF files among the references, by their path there; of split ones the first piece.</summary>
    public static TheoryData<string> Files =>
    [
        .. new[] { "gguf", "field" }.SelectMany(folder => Directory.EnumerateFiles(Reference.Path(folder), "*.gguf", SearchOption.AllDirectories))
            .Where(file => !file.Contains("-00002-of-", StringComparison.Ordinal))
            .Select(file => Path.GetRelativePath(Reference.Path(), file)).Order(StringComparer.Ordinal),
    ];

    /// <summary>Loads a file and asks for its outputs and ids.</summary>
    /// <param name="folder">Takes the question and the answer.</param>
    /// <param name="file">A GGUF file.</param>
    /// <param name="sequences">Ids to evaluate.</param>
    /// <param name="texts">Texts to encode.</param>
    public static Answer Ask(TemporaryFolder folder, string file, IEnumerable<long[]> sequences, params string[] texts)
    {
        _ = Libraries;
        var answer = folder.File("answer.json");
        var request = folder.Write("request.json", JsonSerializer.Serialize(new { sequences, texts }, s_json));
        var info = new ProcessStartInfo("node", [Path.Combine(Folder, "logits.mjs"), file, request, answer]) { RedirectStandardError = true };
        using var process = Process.Start(info)!;
        var error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        process.ExitCode.ShouldBe(0, error);
        return JsonSerializer.Deserialize<Answer>(File.ReadAllText(answer), s_json)!;
    }

    /// <param name="Logits">Log-probabilities [sequence][position][token]; null for what fp32 has no probability of.</param>
    /// <param name="Tokens">Ids of the texts.</param>
    /// <param name="End">The token at which a text ends.</param>
    /// <param name="Turn">The token at which a turn ends.</param>
    internal sealed record Answer(double?[][][] Logits, int[][] Tokens, int? End, int? Turn);
}
