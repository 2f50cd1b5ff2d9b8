using System.Diagnostics.Metrics;
using System.Text.Json.Nodes;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Qbb.Inference.Decoding;
using Qbb.Inference.Serving;
using Qbb.Models.Decoder;
using Qbb.Models.Generation;

namespace Qbb.Inference.Tests.Serving;

/// <summary>Continuous batching and the reuse of prefixes, against the plain generator.</summary>
public class SchedulerTests(TinyModel model) : IClassFixture<TinyModel>
{
    private const int Tokens = 12;

    [Theory]
    [InlineData("torch", 1), InlineData("torch", 3), InlineData("torch", 16), InlineData("cpu", 1), InlineData("cpu", 3), InlineData("cpu", 16)]
    public async Task Greedy_tokens_are_those_of_a_request_alone_at_every_batch_size(string kind, int parallel)
    {
        using var decoder = model.Decoder(kind);
        var random = new Random(7);
        var prompts = Enumerable.Range(0, 12).Select(k => model.Prompt(random, 1 + 7 * k)).ToList();
        using var scheduler = Scheduler(new() { Context = TinyModel.Context, Parallel = parallel, PrefillChunk = 16, CacheTokens = 0 }, decoder);
        // The later ones join while others run.
        var first = prompts[..6].Select(prompt => scheduler.Submit([Greedy(prompt)], default)).ToList();
        await first[0].Parts.WaitToReadAsync();
        var submissions = first.Concat(prompts[6..].Select(prompt => scheduler.Submit([Greedy(prompt)], default))).ToList();
        foreach (var (prompt, submission) in prompts.Zip(submissions))
            (await TokensOf(submission))[0].ShouldBe([.. model.Alone(prompt, Tokens, kind)], $"a prompt of {prompt.Length}");
    }

    [Theory]
    [InlineData("torch"), InlineData("cpu")]
    public async Task A_prompt_continues_from_the_longest_beginning_that_is_kept(string kind)
    {
        var random = new Random(8);
        using var decoder = model.Decoder(kind);
        using var scheduler = Scheduler(new() { Context = TinyModel.Context, PrefillChunk = 16 }, decoder);
        var prompt = model.Prompt(random, 40);
        var answer = (await TokensOf(scheduler.Submit([Greedy(prompt)], default)))[0];
        // The last token was not fed back.
        int[] next = [.. prompt, .. answer, .. model.Prompt(random, 9)];
        await Same(next, prompt.Length + Tokens - 1);
        // Another branch leaves that one whole.
        await Same([.. prompt[..30], .. model.Prompt(random, 20)], 30);
        await Same([.. next, 5, 6, 7], next.Length);
        // All but the last token, which predicts the next.
        await Same(prompt, prompt.Length - 1);
        await Same([.. prompt[..10], .. model.Prompt(random, 20)], 0);

        async Task Same(int[] prompt, int reused)
        {
            var submission = scheduler.Submit([Greedy(prompt)], default);
            (await TokensOf(submission))[0].ShouldBe(model.Alone(prompt, Tokens, kind));
            submission.CachedTokens.ShouldBe(reused);
        }
    }

    [Fact]
    public async Task A_prompt_continues_from_a_running_sequence_too()
    {
        var random = new Random(9);
        using var gate = new GatedDecoder(new TorchDecoder(model.Model));
        using var scheduler = Scheduler(new() { Context = TinyModel.Context, PrefillChunk = 64 }, gate);
        var prompt = model.Prompt(random, 40);
        var one = scheduler.Submit([Greedy(prompt)], default);
        await gate.EnteredAsync();
        await gate.NextAsync();
        int[] other = [.. prompt[..35], .. model.Prompt(random, 5)];
        var two = scheduler.Submit([Greedy(other)], default);
        gate.Open();
        (await TokensOf(one))[0].ShouldBe(model.Alone(prompt, Tokens));
        (await TokensOf(two))[0].ShouldBe(model.Alone(other, Tokens));
        two.CachedTokens.ShouldBe(35);
    }

    [Fact]
    public async Task The_cache_keeps_no_more_than_its_limit()
    {
        var random = new Random(10);
        using var scheduler = Scheduler(new() { Context = TinyModel.Context, CacheTokens = 100 }, out var meter);
        var prompts = Enumerable.Range(0, 3).Select(_ => model.Prompt(random, 40)).ToList();
        foreach (var prompt in prompts)
            await TokensOf(scheduler.Submit([Greedy(prompt)], default));
        meter.CachedTokens.ShouldBe(40 + Tokens - 1);
        var last = scheduler.Submit([Greedy(prompts[2])], default);
        await TokensOf(last);
        last.CachedTokens.ShouldBe(39);
        var first = scheduler.Submit([Greedy(prompts[0])], default);
        await TokensOf(first);
        first.CachedTokens.ShouldBe(0);
    }

    [Fact]
    public async Task Choices_are_those_of_their_seeds()
    {
        var prompt = model.Prompt(new(11), 20);
        using var scheduler = Scheduler(new() { Context = TinyModel.Context });
        var request = Greedy(prompt) with { Choices = 3, Seed = 5 };
        request = request with { Options = request.Options with { Temperature = 1 } };
        var several = await TokensOf(scheduler.Submit([request], default));
        several.Values.Select(tokens => string.Join(',', tokens)).Distinct().Count().ShouldBe(3);
        for (var k = 0; k < 3; k++)
        {
            var alone = new TokenGenerator(model.Model).Generate([prompt], [5 + (ulong)k], request.Options)[0];
            several[k].ShouldBe(alone.Tokens);
        }
    }

    [Fact]
    public async Task Penalties_and_bias_change_what_is_drawn()
    {
        var prompt = model.Prompt(new(12), 20);
        using var scheduler = Scheduler(new() { Context = TinyModel.Context });
        var repeated = Greedy(prompt);
        repeated = repeated with { Options = repeated.Options with { RepetitionPenalty = 1.3 } };
        (await TokensOf(scheduler.Submit([repeated], default)))[0].ShouldBe(new TokenGenerator(model.Model).Generate([prompt], [0], repeated.Options)[0].Tokens);
        (await TokensOf(scheduler.Submit([Greedy(prompt) with { Bias = new Dictionary<int, double> { [9] = 100 } }], default)))[0].ShouldAllBe(token => token == 9);
        var spread = await TokensOf(scheduler.Submit([Greedy(prompt) with { PresencePenalty = 2, FrequencyPenalty = 2 }], default));
        spread[0].Distinct().Count().ShouldBe(Tokens);
    }

    [Fact]
    public async Task A_request_that_starts_while_others_wait_gets_the_smaller_model_unless_it_may_not()
    {
        using var other = Transformer.Create(model.Config, seed: 22);
        using var gate = new GatedDecoder(new TorchDecoder(model.Model));
        using var scheduler = Scheduler(new() { Context = TinyModel.Context, Parallel = 1 }, gate, out _, degraded: new TorchDecoder(other));
        var prompts = Enumerable.Range(0, 4).Select(k => model.Prompt(new(30 + k), 20)).ToList();
        var first = scheduler.Submit([Greedy(prompts[0])], default);
        await gate.EnteredAsync();
        // The second starts while two wait, the third, which may not, while one does, the last alone.
        var submissions = prompts.Skip(1).Select((prompt, k) => scheduler.Submit([Greedy(prompt) with { MayDegrade = k != 1 }], default)).Prepend(first).ToList();
        gate.Open();
        foreach (var (prompt, submission) in prompts.Zip(submissions))
        {
            var isSmaller = prompt == prompts[1];
            var expected = new TokenGenerator(isSmaller ? other : model.Model).Generate([prompt], [0], Greedy(prompt).Options)[0].Tokens;
            (await TokensOf(submission))[0].ShouldBe(expected);
            submission.IsDegraded.ShouldBe(isSmaller);
        }
    }

    [Fact]
    public async Task A_cancelled_request_leaves_before_the_next_step()
    {
        using var gate = new GatedDecoder(new TorchDecoder(model.Model));
        using var scheduler = Scheduler(new() { Context = TinyModel.Context }, gate);
        using var leaves = new CancellationTokenSource();
        var (random, stays) = (new Random(13), model.Prompt(new(14), 10));
        var gone = scheduler.Submit([Greedy(model.Prompt(random, 10))], leaves.Token);
        var here = scheduler.Submit([Greedy(stays)], default);
        await gate.EnteredAsync();
        while (gate.Sizes[^1] < 2)
            await gate.NextAsync();
        leaves.Cancel();
        await gate.NextAsync();
        gate.Sizes[^1].ShouldBe(1);
        gate.Open();
        (await TokensOf(here))[0].ShouldBe(model.Alone(stays, Tokens));
        await Should.ThrowAsync<OperationCanceledException>(() => TokensOf(gone));
    }

    [Fact]
    public async Task A_full_queue_refuses_and_a_cancelled_request_makes_room()
    {
        using var gate = new GatedDecoder(new TorchDecoder(model.Model));
        using var scheduler = Scheduler(new() { Context = TinyModel.Context, Parallel = 1, Queue = 1 }, gate, out var meter);
        using var leaves = new CancellationTokenSource();
        var prompt = model.Prompt(new(15), 10);
        var runs = scheduler.Submit([Greedy(prompt)], default);
        await gate.EnteredAsync();
        var waits = scheduler.Submit([Greedy(prompt)], leaves.Token);
        Should.Throw<QueueFullException>(() => scheduler.Submit([Greedy(prompt)], default)).RetryAfter.ShouldBeInRange(TimeSpan.FromSeconds(1), TimeSpan.FromMinutes(1));
        (meter.Active, meter.Queued).ShouldBe((1, 1));
        leaves.Cancel();
        var instead = scheduler.Submit([Greedy(prompt)], default);
        gate.Open();
        (await TokensOf(runs))[0].Count.ShouldBe(Tokens);
        (await TokensOf(instead))[0].ShouldBe(model.Alone(prompt, Tokens));
        await Should.ThrowAsync<OperationCanceledException>(() => TokensOf(waits));
    }

    [Fact]
    public async Task A_failed_step_ends_its_requests_alone()
    {
        using var gate = new GatedDecoder(new TorchDecoder(model.Model));
        using var scheduler = Scheduler(new() { Context = TinyModel.Context }, gate);
        var prompt = model.Prompt(new(16), 20);
        var fails = scheduler.Submit([Greedy(prompt) with { Choices = 2 }], default);
        await gate.EnteredAsync();
        gate.Fault = new InvalidOperationException("out of memory");
        gate.Open();
        (await Should.ThrowAsync<InvalidOperationException>(() => TokensOf(fails))).Message.ShouldBe("out of memory");
        (await TokensOf(scheduler.Submit([Greedy(prompt)], default)))[0].ShouldBe(model.Alone(prompt, Tokens));
    }

    [Fact]
    public async Task Running_requests_end_before_the_server_does_and_others_are_refused()
    {
        var clock = new FakeTimeProvider();
        using var gate = new GatedDecoder(new TorchDecoder(model.Model));
        using var scheduler = Scheduler(new() { Context = TinyModel.Context, Parallel = 1 }, gate, out _, clock);
        var prompt = model.Prompt(new(17), 10);
        var runs = scheduler.Submit([Greedy(prompt)], default);
        await gate.EnteredAsync();
        var waits = scheduler.Submit([Greedy(prompt)], default);
        scheduler.Drain(TimeSpan.FromSeconds(10));
        Should.Throw<ServerStoppingException>(() => scheduler.Submit([Greedy(prompt)], default));
        await Should.ThrowAsync<ServerStoppingException>(() => TokensOf(waits));
        await gate.NextAsync();
        gate.Open();
        (await TokensOf(runs))[0].ShouldBe(model.Alone(prompt, Tokens));
    }

    [Fact]
    public async Task What_still_runs_after_the_grace_is_ended()
    {
        var clock = new FakeTimeProvider();
        using var gate = new GatedDecoder(new TorchDecoder(model.Model));
        using var scheduler = Scheduler(new() { Context = TinyModel.Context }, gate, out _, clock);
        var runs = scheduler.Submit([Greedy(model.Prompt(new(18), 10))], default);
        await gate.EnteredAsync();
        scheduler.Drain(TimeSpan.FromSeconds(10));
        clock.Advance(TimeSpan.FromSeconds(11));
        gate.Open();
        await Should.ThrowAsync<ServerStoppingException>(() => TokensOf(runs));
    }

    [Fact]
    public void A_sequence_that_is_cut_or_copied_continues_as_one_of_the_same_tokens()
    {
        // With frequencies that depend on the length, so that the past has to be calculated again.
        foreach (var rope in new[] { "null", """{"rope_type":"dynamic","factor":2.0}""" })
        {
            var config = DecoderConfig.FromJson(JsonNode.Parse($$"""
                {"model_type":"llama","vocab_size":64,"hidden_size":32,"intermediate_size":48,"num_hidden_layers":2,"num_attention_heads":2,"num_key_value_heads":1,"hidden_act":"silu",
                "max_position_embeddings":16,"rms_norm_eps":1e-5,"tie_word_embeddings":true,"rope_scaling":{{rope}}}
                """)!.AsObject());
            using var transformer = Transformer.Create(config, seed: 3);
            using var decoder = new TorchDecoder(transformer);
            var random = new Random(19);
            int[] tokens = [.. Enumerable.Range(0, 90).Select(_ => random.Next(64))];
            using var long_ = decoder.Begin();
            Logits(long_, tokens);
            using var copy = long_.Fork();
            copy.Truncate(12);
            copy.Length.ShouldBe(12);
            Difference(Logits(copy, 7, 8), Logits(decoder.Begin(), [.. tokens[..12], 7, 8])).ShouldBeLessThan(1e-5);
            Difference(Logits(long_, 9), Logits(decoder.Begin(), [.. tokens, 9])).ShouldBeLessThan(1e-5);

            float[] Logits(IDecoderSequence sequence, params int[] added)
            {
                var logits = new float[64];
                decoder.Step([new(sequence, added)], logits);
                return logits;
            }

            static double Difference(float[] a, float[] b) => a.Zip(b, (x, y) => Math.Abs(x - y)).Max();
        }
    }

    private static ServingRequest Greedy(int[] prompt) => new() { Prompt = prompt, Options = new() { Temperature = 0, MaxTokens = Tokens }, Logprobs = 0 };

    private static async Task<Dictionary<int, List<int>>> TokensOf(Submission submission)
    {
        var tokens = new Dictionary<int, List<int>>();
        await foreach (var part in submission.Parts.ReadAllAsync())
        {
            tokens.TryAdd(part.Choice, []);
            tokens[part.Choice].AddRange(part.Tokens.Select(token => token.Chosen.Id));
        }
        return tokens;
    }

    private Scheduler Scheduler(ServingLimits limits, IDecoder? decoder = null) => Scheduler(limits, decoder, out _);

    private Scheduler Scheduler(ServingLimits limits, out ServingMeter meter) => Scheduler(limits, null, out meter);

    private Scheduler Scheduler(ServingLimits limits, IDecoder? decoder, out ServingMeter meter, TimeProvider? clock = null, IDecoder? degraded = null)
    {
        clock ??= TimeProvider.System;
        meter = new(new ServiceCollection().AddMetrics().BuildServiceProvider().GetRequiredService<IMeterFactory>(), clock);
        return new(decoder ?? new TorchDecoder(model.Model), model.Tokenizer, limits, meter, clock, NullLogger<Inference.Serving.Scheduler>.Instance, degraded);
    }
}
