using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Evaluator.Scoring;
using Qbb.Evaluator.Text;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Driver;
using Qbb.Recipes;
using Qbb.Tests;

namespace Qbb.Cli.Tests;

/// <summary>The file is a 4-bit grid of groups of 32: four bases with a bias find it again.</summary>
public class SmolLm2Tests
{
    [Fact]
    public void Four_bases_in_groups_of_32_keep_its_perplexity()
    {
        var original = Reference.Shared("models", "smollm2-135m-instruct");
        var text = Reference.Shared("data", "wikitext-2", "wiki.test.raw");
        using var folder = new TemporaryFolder();
        var result = new ModelQuantizer(new Recipe { Bases = 4, Group = 32 }).Run(original, folder.File("q"));
        result.RelativeError.ShouldBeLessThan(1e-6);
        (Score(folder.File("q"), text) / Score(original, text)).ShouldBe(1, 1e-3);
    }

    private static double Score(string folder, string text)
    {
        using var source = ModelSource.Open(folder);
        using var model = Transformer.Load(source, torch.CPU, ScalarType.Float32, BasesLinearLoader.For(source));
        var ids = source.LoadTokenizer().Encode(EvaluationText.Read(text).Text);
        return Scorer.Run(model, ids, new ScoreOptions(1024, 1)).Perplexity;
    }
}
