using Qbb.Contracts;
using Qbb.Registry.Data;
using Qbb.Registry.Pipelines;
using Qbb.Registry.Pipelines.Stages;

namespace Qbb.Registry.Tests.Pipelines;

public sealed class TimeLeftTests
{
    private static readonly DateTimeOffset s_start = DateTimeOffset.UnixEpoch;
    private static readonly PipelineForecast s_hour = Forecast(isMeasured: true, (DecomposeStage.Kind, 600), (AssembleStage.Kind, 60), (EvaluateStage.Kind, 2940));

    /// <summary>
    /// Pipelines of every route on machines that are 50 times slower to 20 times faster than planned, whose kinds of work differ by a sixth from
    /// what the others show, and whose units differ by a third: from a fifth of the time on the estimate is within a factor of 1.5.
    /// </summary>
    [Theory]
    [InlineData(true), InlineData(false)]
    public void From_a_fifth_on_the_estimate_is_within_a_factor_of_one_and_a_half(bool isMeasured)
    {
        var seed = Random.Shared.Next();
        var random = new Random(seed);
        var (worst, estimates, beyond) = (1.0, 0, new List<string>());
        for (var run = 0; run < 300; run++)
        {
            // What was measured before is of this machine; a plan alone is of none.
            var speed = isMeasured ? Math.Exp(random.NextDouble() * 0.8 - 0.4) : Math.Exp(random.NextDouble() * 6.9 - 3);
            var (states, end) = Simulate(random, isMeasured, speed);
            var begin = s_start;
            var all = (end - begin).TotalSeconds;
            foreach (var (pipeline, now) in states.Where(state => state.Now - begin >= 0.2 * (end - begin)))
            {
                var left = TimeLeft.Estimate(pipeline, now).ShouldNotBeNull($"seed {seed}, run {run}").TotalSeconds;
                // A fiftieth of the whole is as good as nothing.
                var ratio = (left + 0.02 * all) / ((end - now).TotalSeconds + 0.02 * all);
                worst = Math.Max(worst, Math.Max(ratio, 1 / ratio));
                estimates++;
                if (ratio is < 1 / 1.5 or > 1.5)
                    beyond.Add($"run {run}: {left:0} s in place of {(end - now).TotalSeconds:0} s after {(now - begin).TotalSeconds:0} s, in {pipeline.Kind} {pipeline.Done} of {pipeline.Total}");
            }
            states.Select(state => PipelineProgress.Share(state.Pipeline)).ShouldBeInOrder();
        }
        // Of units that differ at random some run of hundreds has the long ones first.
        ((double)beyond.Count / estimates).ShouldBeLessThan(0.002, $"seed {seed}: {string.Join("; ", beyond)}");
        worst.ShouldBeLessThan(2, $"seed {seed}: {string.Join("; ", beyond)}");
        TestContext.Current.SendDiagnosticMessage("seed {0}: at most a factor of {1:0.00}", seed, worst);
    }

    [Fact]
    public void Units_that_were_found_say_nothing_about_the_rest()
    {
        // 55 of 100 came in three seconds from an earlier attempt; the others take six seconds each.
        var pipeline = State(DecomposeStage.Kind) with { Done = 55, Given = 55, Total = 100 };
        TimeLeft.Estimate(pipeline, s_start.AddSeconds(3))!.Value.TotalSeconds.ShouldBe(600 * 0.45 - 3 + 3000, 1);
        var later = pipeline with { Done = 65, ActiveAt = s_start.AddSeconds(60) };
        TimeLeft.Estimate(later, s_start.AddSeconds(60))!.Value.TotalSeconds.ShouldBe(35 * 6 + 3000, 100);
        // After a retry the kind begins anew where it stopped.
        PipelineProgress.Share(pipeline).ShouldBe(600 * 0.55 / 3600, 1e-9);
    }

    [Fact]
    public void Nothing_is_said_where_nothing_was_measured()
    {
        var plan = s_hour with { IsMeasured = false };
        TimeLeft.Estimate(State(DecomposeStage.Kind) with { Forecast = plan }, s_start.AddSeconds(10)).ShouldBeNull();
        TimeLeft.Estimate(State(DecomposeStage.Kind) with { Forecast = null }, s_start.AddSeconds(10)).ShouldBeNull();
        TimeLeft.Estimate(State(DecomposeStage.Kind), s_start.AddSeconds(10))!.Value.TotalSeconds.ShouldBe(3590, 1);
        // A GPU does in a second what the plan gave a CPU two minutes for.
        var fast = State(DecomposeStage.Kind) with { Forecast = plan, Done = 20, Total = 100, ActiveAt = s_start.AddSeconds(1) };
        TimeLeft.Estimate(fast, s_start.AddSeconds(1))!.Value.TotalSeconds.ShouldBe(3600 / 120.0 - 1, 1);
    }

    [Fact]
    public void A_unit_that_takes_longer_than_expected_never_leaves_nothing()
    {
        var last = State(EvaluateStage.Kind) with { Times = [new(DecomposeStage.Kind, 10, 600), new(AssembleStage.Kind, 1, 60)] };
        TimeLeft.Estimate(last, s_start.AddSeconds(2900))!.Value.TotalSeconds.ShouldBe(290, 1);
        TimeLeft.Estimate(last, s_start.AddSeconds(4940))!.Value.TotalSeconds.ShouldBe(494, 1);
    }

    [Fact]
    public void Waiting_behind_others_is_no_progress()
    {
        var waiting = State(DecomposeStage.Kind) with { Issued = 1 };
        TimeLeft.Estimate(waiting, s_start.AddSeconds(500), queued: 90)!.Value.TotalSeconds.ShouldBe(90 + 3600, 1);
        TimeLeft.Estimate(waiting, s_start.AddSeconds(500))!.Value.TotalSeconds.ShouldBe(3600 - 500, 1);
    }

    [Fact]
    public void A_plan_is_corrected_by_what_such_work_took_before()
    {
        (UnitKind, double)[] planned = [(DecomposeStage.Kind, 100), (AssembleStage.Kind, 10), (EvaluateStage.Kind, 50)];
        PipelinePlanner.Correct(planned, [], []).Kinds.ShouldBe(Forecast(false, (DecomposeStage.Kind, 100), (AssembleStage.Kind, 10), (EvaluateStage.Kind, 50)).Kinds);

        var before = Forecast(false, (DecomposeStage.Kind, 40), (EvaluateStage.Kind, 20));
        IReadOnlyList<KindTime> took = [new(DecomposeStage.Kind, 10, 20), new(EvaluateStage.Kind, 4, 60)];
        var corrected = PipelinePlanner.Correct(planned, [], [(took, before)]);
        corrected.IsMeasured.ShouldBeTrue();
        corrected[DecomposeStage.Kind].ShouldBe(50, "it took half of what was planned");
        corrected[EvaluateStage.Kind].ShouldBe(150, "it took three times as long");
        corrected[AssembleStage.Kind].ShouldBe(30, "nothing is known of it but of the machine");

        // The same model and recipe: what it took, unless most of it had been there already.
        var same = PipelinePlanner.Correct(planned, [[new(DecomposeStage.Kind, 10, 1, Given: 9), new(AssembleStage.Kind, 1, 7)], [new(DecomposeStage.Kind, 10, 90, Given: 1)]], []);
        same[DecomposeStage.Kind].ShouldBe(100, "nine of ten units took 90 s");
        same[AssembleStage.Kind].ShouldBe(7);
        same[EvaluateStage.Kind].ShouldBe(50);
    }

    [Theory]
    [InlineData("""{"decomposition":{"bases":3}}""")]
    [InlineData("""{"decomposition":{"bases":2,"importance":"full"},"distillation":{"steps":30}}""")]
    [InlineData("""{"decomposition":{"bases":4,"nested":true},"evaluation":{"windows":5}}""")]
    [InlineData("""{"decomposition":{"init":"rtn","refinement":"none"},"evaluation":{"sampling":{"sequences":8}}}""")]
    [InlineData("""{"decomposition":{"bases":2,"refinement":"gradient"},"distillation":{"steps":30},"filter":{"keep":1}}""")]
    public void Every_kind_of_work_of_a_recipe_is_planned(string json)
    {
        var recipe = PipelineRecipe.Parse(json);
        var small = PlannedWork.Of(recipe, ModelShape.Guess(1_000_000), 1_000_000, 0);
        var large = PlannedWork.Of(recipe, ModelShape.Guess(8_000_000_000), 8_000_000_000, 1_300_000);
        small.Select(kind => kind.Kind).ShouldBe(PipelineRoute.Of(recipe).Kinds().SkipLast(1));
        small.ShouldAllBe(kind => kind.Seconds > 0 && double.IsFinite(kind.Seconds));
        large.Single(kind => kind.Kind == DecomposeStage.Kind).Seconds.ShouldBeGreaterThan(20 * small.Single(kind => kind.Kind == DecomposeStage.Kind).Seconds);
    }

    [Theory]
    // Windows are sampled and scored on a GPU; weights are decomposed on one unless the recipe's method has nothing for it.
    [InlineData("{\"decomposition\":{\"bases\":3}}", "Decompose Evaluate SampleWindows")]
    [InlineData("{\"decomposition\":{\"bases\":4,\"nested\":true}}", "Evaluate SampleWindows")]
    [InlineData("{\"decomposition\":{\"init\":\"rtn\",\"refinement\":\"none\"}}", "Evaluate SampleWindows")]
    [InlineData("{\"decomposition\":{\"bases\":4,\"nested\":true,\"importance\":\"full\"},\"distillation\":{\"steps\":30},\"filter\":{\"keep\":1}}", "Decompose Distil Evaluate Sample SampleWindows")]
    [InlineData("{\"decomposition\":{\"bases\":2,\"importance\":\"full\"},\"distillation\":{\"steps\":30}}", "Decompose Distil Evaluate Sample SampleWindows Score")]
    public void Kinds_that_need_a_gpu_have_the_memory_that_they_need(string json, string kinds)
    {
        var recipe = PipelineRecipe.Parse(json);
        var small = PlannedWork.GpuBytes(recipe, ModelShape.Guess(1_000_000), 1_000_000);
        string.Join(' ', small.Keys.Select(kind => kind.Name).Order()).ShouldBe(kinds);
        // Of files of 14 GB.
        var large = PlannedWork.GpuBytes(recipe, ModelShape.Guess(14_000_000_000), 14_000_000_000);
        large.Keys.ShouldBe(small.Keys, ignoreOrder: true);
        large.ShouldAllBe(kind => kind.Value > small[kind.Key] && kind.Value > 1_000_000_000);
        var forecast = new PipelineForecast([.. PlannedWork.Of(recipe, ModelShape.Guess(1_000_000), 1_000_000, 0).Select(kind => new KindForecast(kind.Kind, 1, 1, small.GetValueOrDefault(kind.Kind)))], false);
        forecast.GpuBytesOf([AssembleStage.Kind, GatherStage.Kind]).ShouldBe(0);
        forecast.GpuBytesOf([AssembleStage.Kind, EvaluateStage.Kind]).ShouldBe(small[EvaluateStage.Kind]);
        Forecast(true, (EvaluateStage.Kind, 1)).GpuBytesOf([EvaluateStage.Kind]).ShouldBeNull("it was planned before there were such plans");
    }

    [Fact]
    public void The_shape_of_a_model_is_read_from_its_configuration()
    {
        static ModelShape? Of(string json) => ModelShape.Of((System.Text.Json.Nodes.JsonObject)System.Text.Json.Nodes.JsonNode.Parse(json)!);
        Of("""{"num_hidden_layers":30,"hidden_size":576,"intermediate_size":1536,"num_attention_heads":9,"num_key_value_heads":3,"vocab_size":49152,"max_position_embeddings":8192}""")
            .ShouldBe(new ModelShape(30, 576, 1536, 576, 192, 49152, 8192));
        Of("""{"n_layer":12,"n_embd":768,"n_head":12,"vocab_size":50257,"n_positions":1024}""").ShouldBe(new ModelShape(12, 768, 3072, 768, 768, 50257, 1024));
        Of("""{"n_layer":12,"n_embd":"wide","n_head":12,"vocab_size":50257}""").ShouldBeNull();
        Of("""{"n_layer":0,"n_embd":1e99,"n_head":-1,"vocab_size":[]}""").ShouldBeNull();
        new ModelShape(30, 576, 1536, 576, 192, 49152, 8192).Counts(0).Weights.ShouldBeInRange(134_000_000, 135_000_000);
    }

    private static PipelineForecast Forecast(bool isMeasured, params (UnitKind Kind, double Seconds)[] kinds) =>
        new([.. kinds.Select(kind => new KindForecast(kind.Kind, kind.Seconds, kind.Seconds))], isMeasured);

    private static Pipeline State(UnitKind kind) => new Machine().Pipeline with
    {
        Status = PipelineStatus.Running,
        Route = new PipelineRoute(Calibrated: false, Distils: false, SamplesWindows: false),
        Kind = kind,
        KindStartedAt = s_start,
        ActiveAt = s_start,
        Forecast = s_hour,
    };

    /// <summary>The states of a pipeline, at every result and between them.</summary>
    private static (List<(Pipeline Pipeline, DateTimeOffset Now)> States, DateTimeOffset End) Simulate(Random random, bool isMeasured, double speed)
    {
        var route = new PipelineRoute(random.Next(2) == 0, random.Next(2) == 0, random.Next(2) == 0);
        var kinds = route.Kinds().Where(kind => kind != PublishStage.Kind).ToList();
        // Sampling, decomposition, distillation and evaluation take the most; the rest is short.
        var forecast = Forecast(isMeasured, [.. kinds.Select(kind => (kind, UnitStages.Of(kind).IsTold ? Math.Exp(3 + 3 * random.NextDouble()) : 2 + 8 * random.NextDouble()))]);
        var pipeline = State(kinds[0]) with { Route = route, Forecast = forecast };
        var now = s_start;
        var states = new List<(Pipeline, DateTimeOffset)> { (pipeline, now) };
        foreach (var kind in kinds)
        {
            var units = UnitStages.Of(kind).IsTold ? random.Next(12, 80) : 1;
            var takes = Enumerable.Range(0, units).Select(_ => 0.7 + 0.6 * random.NextDouble()).ToList();
            var whole = forecast[kind] * speed * Math.Exp((random.NextDouble() - 0.5) * 0.3);
            pipeline = pipeline with { Kind = kind, KindStartedAt = now, ActiveAt = now, Issued = 1, Done = 0, Total = UnitStages.Of(kind).IsTold ? 0 : 1 };
            foreach (var unit in takes.Select(share => TimeSpan.FromSeconds(whole * share / takes.Sum())))
            {
                states.Add((pipeline, now + unit / 2));
                now += unit;
                pipeline = pipeline with { Done = pipeline.Done + 1, Issued = pipeline.Issued + 1, Total = units, ActiveAt = now };
                if (pipeline.Done < units)
                    states.Add((pipeline, now));
            }
            pipeline = pipeline with { Times = [.. pipeline.Times, new KindTime(kind, units, (now - pipeline.KindStartedAt).TotalSeconds)] };
        }
        return (states, now);
    }
}
