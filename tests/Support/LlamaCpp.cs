using System.Diagnostics;
using System.Runtime.InteropServices;
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

    /// <summary>Skips the test unless every file and family is asked for: llama.cpp loads each of them, which takes a minute.</summary>
    public static void RequireAll() =>
        Assert.SkipUnless(Environment.GetEnvironmentVariable("QBB_LLAMACPP") == "all", "runs llama.cpp on every file: tests/peers/llamacpp/run");

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
    /// <param name="every">Of how many positions one is looked at, the last always.</param>
    /// <param name="texts">Texts to encode.</param>
    public static Answer Ask(TemporaryFolder folder, string file, IReadOnlyList<long[]> sequences, int every = 1, params string[] texts)
    {
        _ = Libraries;
        var answer = folder.File("answer.json");
        var request = folder.Write("request.json", JsonSerializer.Serialize(new { sequences, texts, every }, s_json));
        var info = new ProcessStartInfo("node", [Path.Combine(Folder, "logits.mjs"), file, request, answer]) { RedirectStandardError = true };
        using var process = Process.Start(info)!;
        var error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        process.ExitCode.ShouldBe(0, error);
        var rows = sequences.Sum(ids => (ids.Length + every - 1) / every);
        var bytes = File.ReadAllBytes(answer + ".f32");
        var logits = rows == 0 ? [] : MemoryMarshal.Cast<byte, float>(bytes).ToArray().Chunk(bytes.Length / sizeof(float) / rows).ToArray();
        logits.Length.ShouldBe(rows);
        return JsonSerializer.Deserialize<Answer>(File.ReadAllText(answer), s_json)! with { Logits = logits };
    }

    /// <param name="Logits">Log-probabilities of all positions looked at, one sequence after the other; NaN for what has none in fp32.</param>
    /// <param name="Tokens">Ids of the texts.</param>
    /// <param name="End">The token at which a text ends.</param>
    /// <param name="Turn">The token at which a turn ends.</param>
    internal sealed record Answer(float[][] Logits, int[][] Tokens, int? End, int? Turn);
}
