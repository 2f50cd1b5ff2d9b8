using Qbb.Checkpoints;
using Qbb.Models.Decoder;
using Qbb.Tests;

namespace Qbb.Models.Tests.Decoder;

/// <summary>
/// Logits are llama.cpp's, up to a constant for each position (it gives probabilities). It rounds activations where weights are
/// quantized, so each file is widened to F32 for it.
/// </summary>
public sealed class LlamaCppTests(ITestOutputHelper output) : IDisposable
{
    private const double Tolerance = 1e-3;

    /// <summary>ggml takes GELU from a table of fp16.</summary>
    private const double GeluTolerance = 4e-3;

    /// <summary>Rarer tokens have no probability that fp32 tells apart from its neighbours.</summary>
    private const double LeastLogProbability = -60;

    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> Files => LlamaCpp.Files;

    public static TheoryData<string, string?> Families => GgufFamiliesTests.Families;

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Files))]
    public void Of_files(string path)
    {
        LlamaCpp.RequireAll();
        Assert.SkipWhen(path.Contains("gguf-eot-key", StringComparison.Ordinal), "llama.cpp ends where a tokenizer of this kind lacks the new line");
        using var file = GgufFile.Open(Reference.Path(path));
        Compare(path, Widened(file), Reference.Path(path));
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void Of_families(string architecture, string? golden)
    {
        LlamaCpp.RequireAll();
        var file = _folder.Write("family.gguf", GgufFamiliesTests.File(architecture, golden).Build());
        Compare(architecture, file, file);
    }

    private void Compare(string name, string widened, string ours)
    {
        using var source = ModelSource.Open(ours);
        using var scope = torch.NewDisposeScope();
        using var grad = torch.no_grad();
        using var model = Transformer.Load(source, torch.CPU, ScalarType.Float32);
        var vocabulary = model.Config.VocabularySize;
        long[] ids = [.. Enumerable.Range(0, 24).Select(i => (long)(i * 17 % Math.Min(vocabulary, 100)))];
        var logits = model.forward(torch.tensor(ids, 1, ids.Length)).log_softmax(-1).ToArray<float>();
        var rows = LlamaCpp.Ask(_folder, widened, [ids]).Logits;
        var difference = 0.0;
        for (var position = 0; position < ids.Length; position++)
        {
            rows[position].Length.ShouldBe(vocabulary);
            for (var token = 0; token < vocabulary; token++)
            {
                if (rows[position][token] is var theirs && theirs > LeastLogProbability)
                    difference = Math.Max(difference, Math.Abs(logits[position * vocabulary + token] - theirs));
            }
        }
        var tolerance = model.Config.Activation == Activation.Silu ? Tolerance : GeluTolerance;
        output.WriteLine($"{name}: largest difference {difference:E2}, allowed {tolerance:E0}");
        difference.ShouldBeLessThan(tolerance, name);
    }

    private string Widened(GgufFile file)
    {
        var builder = new GgufBuilder();
        foreach (var (key, value) in file.Metadata.Where(pair => !pair.Key.StartsWith("split.", StringComparison.Ordinal)))
        {
            builder.Add(key, (value, file.MetadataTypes[key]) switch
            {
                (ulong number, "UINT8") => (byte)number,
                (ulong number, "UINT16") => (ushort)number,
                (ulong number, "UINT32") => (uint)number,
                (long number, "INT8") => (sbyte)number,
                (long number, "INT16") => (short)number,
                (long number, "INT32") => (int)number,
                _ => value,
            });
        }
        foreach (var entry in file.Entries)
        {
            var values = new float[entry.Count];
            file.ReadFloat(entry.Name, 0, values);
            builder.Tensor(entry.Name, [.. entry.Shape], values);
        }
        return _folder.Write("widened.gguf", builder.Build());
    }
}
