using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Models.Tokenizers;
using Qbb.Quantizer.Driver;
using Qbb.Recipes;
using Qbb.Tests;

namespace Qbb.Quantizer.Tests.Driver;

/// <summary>llama.cpp loads what is written, and computes what we compute.</summary>
public sealed class LlamaCppExportTests(ITestOutputHelper output) : IDisposable
{
    private const double Tolerance = 1e-3;

    /// <summary>Of so many positions one is compared.</summary>
    private const int Every = 2;

    private static readonly string[] s_prompts =
    [
        "The old man went down to the sea, and there he found the boat as he had left it the night before, with the oars under the seat.",
        "\"I do not know,\" said Alice; \"but I should like to hear it again, if you would be so very kind as to say it slowly.\"",
        "In the year 1805 there were 27 ships of the line, and the admiral had been two years at sea without once setting foot on land.",
        "It was a cold day in April, and the wind blew the leaves of last autumn along the road and over the wall of the churchyard.",
        "My dear Mr. Bennet, have you heard that the house on the hill is let at last, and to a young man of large fortune?",
        "Call me Ishmael. Some years ago—never mind how long—I had little money in my purse, and nothing to keep me on shore.",
        "  two spaces and\n\na new paragraph, which began with the same words as the one before it, and ended with others.",
        "Yes! No? Perhaps... He looked at her for a long time, and then he said that it was all the same to him.",
    ];

    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> Targets => [.. Target.All.Select(target => target.Name).Where(name => name.StartsWith("gguf-"))];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Targets))]
    public void Of_the_sample_teacher(string name)
    {
        _ = LlamaCpp.Libraries;
        var (teacher, quantized) = (Path.Combine(Reference.Root, "samples", "teacher"), _folder.File("out"));
        new ModelQuantizer(new Recipe { Rounds = 3 }.For(Target.Parse(name))).Run(teacher, quantized);
        using var source = ModelSource.Open(quantized);
        var file = _folder.File("x.gguf");
        GgufExport.Write(source, file, name, force: false);
        var tokenizer = source.LoadTokenizer();
        List<long[]> sequences = [.. s_prompts.Select(prompt => tokenizer.Encode(prompt).Select(id => (long)id).ToArray())];
        var ours = Ours(file, sequences);

        var whole = LlamaCpp.Ask(_folder, file, sequences, Every, s_prompts);
        for (var k = 0; k < s_prompts.Length; k++)
            whole.Tokens[k].ShouldBe(tokenizer.Encode(s_prompts[k], addSpecialTokens: false), s_prompts[k]);
        whole.End.ShouldBe(1);
        var (_, kl, top) = Compare(ours, whole.Logits);
        output.WriteLine($"{name}: as it is, KL {kl:E2}, top-1 {top:P2}");
        // It rounds activations to 8 bits where weights are blocks.
        kl.ShouldBeLessThan(0.01);
        top.ShouldBeGreaterThanOrEqualTo(0.97);

        // Of one with minima and one without: their values are the same, bit for bit, as of all others (GgufExportTests).
        if (name is not ("gguf-q4_1" or "gguf-q2_0"))
            return;
        var widened = _folder.File("widened.gguf");
        GgufExport.Write(source, widened, GgufExport.F32, force: false);
        var (difference, _, _) = Compare(ours, LlamaCpp.Ask(_folder, widened, sequences, Every).Logits);
        output.WriteLine($"{name}: widened to F32, largest difference {difference:E2}");
        difference.ShouldBeLessThan(Tolerance);
    }

    private static float[][] Ours(string file, List<long[]> sequences)
    {
        using var source = ModelSource.Open(file);
        using var scope = torch.NewDisposeScope();
        using var off = torch.no_grad();
        using var model = Transformer.Load(source, torch.CPU, ScalarType.Float32);
        var size = model.Config.VocabularySize;
        return
        [
            .. sequences.SelectMany(ids => model.forward(torch.tensor(ids, 1, ids.Length)).log_softmax(-1).ToArray<float>().Chunk(size)
                .Where((_, position) => (ids.Length - 1 - position) % Every == 0)),
        ];
    }

    /// <summary>The largest difference of log-probabilities, mean KL divergence, and the share of positions with the same first token.</summary>
    private static (double Difference, double Kl, double Top) Compare(float[][] ours, float[][] theirs)
    {
        theirs.Length.ShouldBe(ours.Length);
        var (difference, kl, same) = (0.0, 0.0, 0);
        foreach (var (mine, row) in ours.Zip(theirs))
        {
            row.Length.ShouldBe(mine.Length);
            var (best, bestOfThem) = (0, 0);
            for (var token = 0; token < mine.Length; token++)
            {
                var other = float.IsNaN(row[token]) ? -100 : row[token];
                // Rarer tokens have no probability that fp32 tells apart from its neighbours.
                if (other > -60)
                    difference = Math.Max(difference, Math.Abs(mine[token] - other));
                kl += Math.Exp(mine[token]) * (mine[token] - other);
                best = mine[token] > mine[best] ? token : best;
                bestOfThem = row[token] > row[bestOfThem] ? token : bestOfThem;
            }
            same += best == bestOfThem ? 1 : 0;
        }
        return (difference, kl / ours.Length, (double)same / ours.Length);
    }
}
