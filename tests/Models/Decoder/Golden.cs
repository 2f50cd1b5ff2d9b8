using System.Text.Json;
using Qbb.Tests;

namespace Qbb.Models.Tests.Decoder;

/// <summary>What transformers gives for one of the tiny checkpoints of tests/Reference/architectures.</summary>
/// <param name="InputIds">[sequence][token]</param>
/// <param name="Positions">Positions whose logits are listed.</param>
/// <param name="Logits">[sequence][position][vocabulary]</param>
internal sealed record Golden(long[][] InputIds, int[] Positions, float[][][] Logits)
{
    public const double Tolerance = 1e-4;

    public static IEnumerable<string> Names { get; } =
    [
        "gemma", "gemma2", "gemma3", "gpt-neox", "gpt2", "granite", "olmo2", "smollm3", "starcoder2", "llama-gqa-tied", "llama-mha", "llama3-rope", "mistral", "opt", "phi", "phi3", "qwen2", "qwen3",
    ];

    public static IEnumerable<TheoryDataRow<string>> Rows => Names.Select(name => new TheoryDataRow<string>(name));

    /// <summary>Skips the test where the checkpoint is not there: tests/Reference/make_golden.py makes those of the newer families.</summary>
    public static string Folder(string name)
    {
        var folder = Reference.Path("architectures", name);
        Assert.SkipUnless(Directory.Exists(folder), $"needs tests/Reference/architectures/{name}, which make_golden.py makes with transformers");
        return folder;
    }

    public static Golden Of(string name) => Read(Path.Combine(Folder(name), "golden.json"));

    public static Golden Read(string path)
    {
        var json = JsonDocument.Parse(File.ReadAllText(path)).RootElement;
        return new Golden(
            json.GetProperty("input_ids").Deserialize<long[][]>()!,
            json.GetProperty("positions").Deserialize<int[]>()!,
            json.GetProperty("logits").Deserialize<float[][][]>()!);
    }

    /// <summary>i64 [sequences, tokens].</summary>
    public Tensor Ids() => torch.tensor([.. InputIds.SelectMany(row => row)], InputIds.Length, InputIds[0].Length);

    /// <summary>The largest difference from logits [sequences, tokens, vocabulary].</summary>
    public double Difference(Tensor logits)
    {
        using var scope = torch.NewDisposeScope();
        var expected = torch.tensor([.. Logits.SelectMany(row => row.SelectMany(position => position))], Logits.Length, Positions.Length, Logits[0][0].Length);
        var index = torch.tensor([.. Positions.Select(position => (long)position)]);
        return (logits.to(ScalarType.Float32).index_select(1, index) - expected).abs().max().ToDouble();
    }
}
