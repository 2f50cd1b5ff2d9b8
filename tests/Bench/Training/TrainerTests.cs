using Qbb.Bench.Training;
using Qbb.Models;
using Qbb.Models.Tokenizers;

namespace Qbb.Bench.Tests.Training;

public class TrainerTests
{
    private static readonly TrainingOptions s_small = new()
    {
        Vocabulary = 260,
        Hidden = 32,
        Intermediate = 64,
        Blocks = 2,
        Heads = 4,
        KeyValueHeads = 2,
        Context = 16,
        Batch = 8,
        Steps = 60,
        EvaluateEvery = 30,
        Warmup = 5,
    };

    [Fact]
    public void A_small_model_learns_a_pattern_and_learns_it_the_same_way_twice()
    {
        var tokens = Enumerable.Range(0, 4000).Select(k => k % 7 * 11 + k % 3).ToArray();
        List<TrainingPoint> Curve()
        {
            var curve = new List<TrainingPoint>();
            using var model = Trainer.Run(s_small, tokens, tokens[..500], torch.CPU, observe: (point, _) => curve.Add(point));
            return curve;
        }
        var first = Curve();
        first.Select(p => p.Step).ShouldBe([30, 60]);
        first[^1].Tokens.ShouldBe(60 * 8 * 16);
        first[^1].ValidationPerplexity.ShouldBeLessThan(5);
        Curve().Select(p => (p.Loss, p.ValidationPerplexity)).ShouldBe(first.Select(p => (p.Loss, p.ValidationPerplexity)));
    }

    [Fact]
    public void Training_goes_on_from_a_model()
    {
        var tokens = Enumerable.Range(0, 1000).Select(k => k % 7 * 11).ToArray();
        var options = s_small with { Steps = 30 };
        var model = Trainer.Run(options, tokens, tokens, torch.CPU);
        TrainingPoint? last = null;
        using var further = Trainer.Run(options with { Steps = 2, Warmup = 0, LearningRate = 1e-6 }, tokens, tokens, torch.CPU, model, (point, _) => last = point);
        last!.ValidationPerplexity.ShouldBeLessThan(20);
    }

    [Fact]
    public void The_learning_rate_is_a_trapezoid()
    {
        var options = new TrainingOptions { Steps = 100, Warmup = 10, Cooldown = 0.5, LearningRate = 1 };
        options.LearningRateAt(0).ShouldBe(0.1, 1e-12);
        options.LearningRateAt(9).ShouldBe(1);
        options.LearningRateAt(49).ShouldBe(1);
        options.LearningRateAt(75).ShouldBe(0.5, 1e-12);
        options.LearningRateAt(99).ShouldBe(0.02, 1e-12);
    }

    [Fact]
    public void Batches_depend_on_seed_and_step_alone_and_labels_come_one_later()
    {
        var tokens = Enumerable.Range(0, 100).ToArray();
        var (inputs, labels) = new TokenBatches(tokens, 8, 2, 5).At(3);
        new TokenBatches(tokens, 8, 2, 5).At(3).Inputs.ToArray<long>().ShouldBe(inputs.ToArray<long>());
        new TokenBatches(tokens, 8, 2, 5).At(4).Inputs.ToArray<long>().ShouldNotBe(inputs.ToArray<long>());
        labels.ToArray<long>().ShouldBe(inputs.ToArray<long>().Select(k => k + 1));
    }

    [Fact]
    public void Impossible_options_and_short_texts_are_refused()
    {
        Should.Throw<InvalidInputException>((s_small with { Heads = 5 }).Validate).Message.ShouldContain("hidden");
        Should.Throw<InvalidInputException>((s_small with { Vocabulary = 100 }).Validate).Message.ShouldContain("vocabulary");
        Should.Throw<InvalidInputException>(() => Trainer.Run(s_small, new int[16], new int[100], torch.CPU)).Message.ShouldContain("16 tokens");
    }

    [Fact]
    public void Books_begin_and_end_with_their_tokens()
    {
        var tokenizer = BpeTrainer.Train(["abc abc abc"], new BpeTrainerOptions(260) { SpecialTokens = ["<s>", "</s>"], BeginOfSequence = "<s>" });
        var ids = BookText.Encode(new StringReader("one two\nthree\n\n\nfour\n"), tokenizer, 0, 1);
        tokenizer.Decode(ids).ShouldBe("<s>one two\nthree\n</s><s>four\n</s>");
        var longBook = string.Concat(Enumerable.Repeat(new string('x', 1000) + "\n", 7));
        BookText.Encode(new StringReader(longBook), tokenizer, 0, 1).Count(id => id == 0).ShouldBe(3);
    }
}
