using Qbb.Checkpoints;
using Qbb.Models.Decoder;
using Qbb.Models.Generation;
using Qbb.Models.Tests.Decoder;

namespace Qbb.Models.Tests.Generation;

public class TokenGeneratorTests
{
    private static readonly int[][] Prompts = [[1, 2, 3], [4], [5, 6, 7, 8, 9, 10, 11]];

    private static readonly ulong[] Seeds = [10, 20, 30];

    public static IEnumerable<TheoryDataRow<string>> Rows => Golden.Rows;

    [Theory]
    [MemberData(nameof(Rows))]
    public void Greedy_text_is_that_of_whole_passes(string name)
    {
        using var source = ModelSource.Open(Golden.Folder(name));
        using var model = Transformer.Load(source, torch.CPU, ScalarType.Float32);
        var generated = new TokenGenerator(model).Generate(Prompts, Seeds, new GenerationOptions { MaxTokens = 8, Temperature = 0 });
        for (var row = 0; row < Prompts.Length; row++)
        {
            var tokens = Prompts[row].Select(id => (long)id).ToList();
            for (var step = 0; step < 8; step++)
            {
                using var scope = torch.NewDisposeScope();
                using var grad = torch.no_grad();
                var logits = model.forward(torch.tensor(tokens.ToArray(), 1, tokens.Count));
                tokens.Add(logits.select(0, 0).select(0, tokens.Count - 1).argmax(0).ToInt64());
            }
            generated[row].Tokens.ShouldBe(tokens.Skip(Prompts[row].Length).Select(id => (int)id), name);
        }
    }

    [Fact]
    public void A_penalty_is_on_the_tokens_of_prompt_and_text()
    {
        const double penalty = 1.7;
        using var model = Transformer.Create(Variants.Config("qwen2, window from block 1"), seed: 4);
        var options = new GenerationOptions { MaxTokens = 12, Temperature = 0, RepetitionPenalty = penalty };
        var generated = new TokenGenerator(model).Generate(Prompts, Seeds, options);
        generated.Select(row => row.Tokens).ShouldNotBe(new TokenGenerator(model).Generate(Prompts, Seeds, options with { RepetitionPenalty = 1 }).Select(row => row.Tokens));
        for (var row = 0; row < Prompts.Length; row++)
        {
            var tokens = Prompts[row].ToList();
            for (var step = 0; step < options.MaxTokens; step++)
            {
                using var scope = torch.NewDisposeScope();
                using var grad = torch.no_grad();
                var logits = model.forward(torch.tensor(tokens.Select(id => (long)id).ToArray(), 1, tokens.Count)).select(1, tokens.Count - 1).ToArray<float>();
                foreach (var id in tokens.Distinct())
                    logits[id] = (float)(logits[id] > 0 ? logits[id] / penalty : logits[id] * penalty);
                tokens.Add(Array.IndexOf(logits, logits.Max()));
            }
            generated[row].Tokens.ShouldBe(tokens.Skip(Prompts[row].Length));
        }
    }

    [Fact]
    public void A_sequence_does_not_depend_on_its_batch()
    {
        using var model = Transformer.Create(Variants.Config("qwen2, window from block 1"), seed: 4, dtype: ScalarType.Float64);
        var generator = new TokenGenerator(model);
        var options = new GenerationOptions { MaxTokens = 20, Temperature = 0.9, TopK = 20, TopP = 0.95, StopIds = [39] };
        var together = generator.Generate(Prompts, Seeds, options);
        for (var row = 0; row < Prompts.Length; row++)
            generator.Generate([Prompts[row]], [Seeds[row]], options)[0].Tokens.ShouldBe(together[row].Tokens);
        generator.Generate(Prompts, [10, 21, 30], options)[1].Tokens.ShouldNotBe(together[1].Tokens);
    }

    [Fact]
    public void A_stop_token_ends_its_sequence_only()
    {
        using var model = Transformer.Create(Variants.Config("llama, linear"), seed: 4, dtype: ScalarType.Float64);
        var generator = new TokenGenerator(model);
        var free = generator.Generate(Prompts, Seeds, new GenerationOptions { MaxTokens = 12 });
        var stop = free[0].Tokens[4];
        var stopped = generator.Generate(Prompts, Seeds, new GenerationOptions { MaxTokens = 12, StopIds = [stop] });
        for (var row = 0; row < Prompts.Length; row++)
        {
            var end = free[row].Tokens.ToList().IndexOf(stop);
            stopped[row].Stopped.ShouldBe(end >= 0);
            stopped[row].Tokens.ShouldBe(end < 0 ? free[row].Tokens : free[row].Tokens.Take(end + 1));
        }
    }

    [Fact]
    public void Tokens_are_reported_as_they_come()
    {
        using var model = Transformer.Create(Variants.Config("gpt2, unscaled"), seed: 4);
        var heard = Prompts.Select(_ => new List<int>()).ToArray();
        var generated = new TokenGenerator(model).Generate(Prompts, Seeds, new GenerationOptions { MaxTokens = 5 }, (row, token) => heard[row].Add(token));
        for (var row = 0; row < Prompts.Length; row++)
            heard[row].ShouldBe(generated[row].Tokens);
    }

    [Fact]
    public void Cancelling_ends_between_two_tokens()
    {
        using var model = Transformer.Create(Variants.Config("gpt2, unscaled"), seed: 4);
        using var cancel = new CancellationTokenSource();
        Should.Throw<OperationCanceledException>(() => new TokenGenerator(model).Generate([[1]], [1], new GenerationOptions { MaxTokens = 30 }, (_, _) => cancel.Cancel(), cancel.Token));
    }

    [Fact]
    public void Nothing_is_generated_where_nothing_is_asked()
    {
        using var model = Transformer.Create(Variants.Config("gpt2, unscaled"), seed: 4);
        new TokenGenerator(model).Generate([], [], new GenerationOptions()).ShouldBeEmpty();
        new TokenGenerator(model).Generate([[1]], [1], new GenerationOptions { MaxTokens = 0 })[0].Tokens.ShouldBeEmpty();
    }

    [Fact]
    public void Prompts_that_cannot_be_continued_are_refused()
    {
        using var model = Transformer.Create(Variants.Config("gpt2, unscaled"), seed: 4);
        var generator = new TokenGenerator(model);
        Should.Throw<InvalidInputException>(() => generator.Generate([[1], []], [1, 2], new GenerationOptions())).Message.ShouldContain("prompt 1");
        Should.Throw<InvalidInputException>(() => generator.Generate([[1]], [1], new GenerationOptions { MaxTokens = 41 })).Message.ShouldContain("40 positions");
        Should.Throw<InvalidInputException>(() => generator.Generate([[77]], [1], new GenerationOptions { MaxTokens = 3 })).Message.ShouldContain("77");
    }
}
