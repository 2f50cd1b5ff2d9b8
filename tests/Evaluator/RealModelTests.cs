using System.Text.Json.Nodes;
using Qbb.Checkpoints;
using Qbb.Evaluator.Scoring;
using Qbb.Evaluator.Text;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Tests;

namespace Qbb.Evaluator.Tests;

/// <summary>Perplexities of real models equal those that transformers gives, to three digits after the point or better.</summary>
public class RealModelTests
{
    [Theory]
    [InlineData("stories260k"), InlineData("babyllama-tok361")]
    public void TinyStories_perplexity_equals_the_reference(string name)
    {
        var expected = JsonNode.Parse(File.ReadAllText(Reference.Path("real-models.json")))![name]!;
        var score = Run(Reference.Shared("models", name), Reference.Shared("data", "tinystories-slice.txt"),
            (int)expected["ppl_tinystories"]!["ctx"]!, (int)expected["ppl_tinystories"]!["windows"]!, 8, out _);
        score.Perplexity.ShouldBe((double)expected["ppl_tinystories"]!["ppl"]!, 5e-4);
    }

    /// <summary>Two windows; QBB_WINDOWS=20 scores as many as transformers did, which takes ten times as long.</summary>
    [Fact]
    public void SmolLM2_perplexity_on_WikiText_equals_the_reference()
    {
        var expected = JsonNode.Parse(File.ReadAllText(Reference.Path("smollm2-135m.json")))!;
        var windows = Environment.GetEnvironmentVariable("QBB_WINDOWS") == "20" ? 20 : 2;
        var score = Run(Reference.Shared("models", "smollm2-135m-instruct"), Reference.Shared("data", "wikitext-2", "wiki.test.raw"), 2048, windows, 1, out var tokens);
        tokens.ShouldBe((int)expected["tokens_wikitext"]!);
        var reference = windows == 20 ? "first20" : "first2, by qbb, whose first20 equal those of transformers";
        score.Perplexity.ShouldBe((double)expected["ppl wikitext2_test ctx2048 " + reference]![0]!, 5e-4);
    }

    private static Score Run(string folder, string text, int context, int windows, int batch, out int tokens)
    {
        using var source = ModelSource.Open(folder);
        using var model = Transformer.Load(source, torch.CPU, ScalarType.Float32);
        var ids = source.LoadTokenizer().Encode(EvaluationText.Read(text).Text);
        tokens = ids.Length;
        return Scorer.Run(model, ids, new ScoreOptions(context, windows, batch));
    }
}
