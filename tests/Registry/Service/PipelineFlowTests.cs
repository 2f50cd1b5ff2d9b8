using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Net;
using System.Text.Json.Nodes;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Qbb.Contracts;
using Qbb.Registry.Data;
using Qbb.Registry.Pipelines;
using Qbb.Registry.Pipelines.Machine;
using Qbb.Tests;

namespace Qbb.Registry.Tests.Service;

/// <summary>Pipelines through the whole registry: REST, database, outbox, a bus in memory and scripted workers.</summary>
public sealed class PipelineFlowTests : IDisposable
{
    private const string Plain = """{"decomposition":{"bases":3}}""";
    private const string Distilled = """{"decomposition":{"bases":2,"importance":"full"},"distillation":{"steps":30}}""";

    private readonly TemporaryFolder _folder = new();

    [Theory]
    [InlineData(Plain, "decompose evaluate publish")]
    [InlineData(Distilled, "sample decompose filter distil evaluate publish")]
    public async Task An_upload_becomes_a_champion_without_further_hands(string recipe, string stages)
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        await server.Api.SetPolicyAsync("all", new PolicyChange("*", [new NamedRecipe("mine", JsonNode.Parse(recipe)!)]));

        var uploaded = await server.UploadAsync("tiny");
        var end = await server.EndOfAsync(uploaded.Pipelines[0]);

        end.Error.ShouldBeNull();
        end.State.ShouldBe(PipelineState.Succeeded);
        string.Join(' ', end.Stages.Select(stage => Wire.NameOf(stage.Name))).ShouldBe(stages);
        end.Stages.ShouldAllBe(stage => stage.State == StageState.Done);
        end.Progress.ShouldBe(1);
        var metrics = end.Metrics!;
        metrics["perplexity"].ShouldBe(Math.Exp(2.1), 1e-12);
        metrics["teacherPerplexity"].ShouldBe(Math.Exp(2.0), 1e-12);
        metrics["kl"].ShouldBe(0.05, 1e-12);
        metrics["top1"].ShouldBe(0.8, 1e-12);

        var champion = await server.Api.GetVersionAsync("tiny", "champion");
        champion.Version.ShouldBe(2);
        champion.Kind.ShouldBe(VersionKind.Quantized);
        champion.Lineage!.Parent.ShouldBe(new VersionName("tiny", 1));
        champion.Lineage.RecipeName.ShouldBe("mine");
        champion.Lineage.Recipe.ShouldBe(PipelineRecipe.Parse(recipe).Digest.Value);
        using var file = new StreamReader(await server.Api.GetFileAsync("tiny", "champion", champion.Files![0].Name));
        (await file.ReadToEndAsync()).ShouldStartWith("result of ");
        (await server.Api.GetLineageAsync("tiny", "1")).Children.ShouldBe([new VersionName("tiny", 2)]);
    }

    /// <summary>A model of many long units has the workers; what comes later and is short passes those that they do not have yet.</summary>
    [Fact]
    public async Task Short_units_pass_long_ones()
    {
        using var held = new SemaphoreSlim(0);
        var script = new WorkerScript { Layers = 30 };
        static bool IsLong(object command) => command is DecomposeLayers { Index: > 0 };
        script.Seconds = command => command is DecomposeLayers ? 30 : null;
        script.Hold = command => IsLong(command) ? held.WaitAsync() : Task.CompletedTask;
        await using var server = await RegistryServer.StartAsync(_folder, script);
        await server.UploadAsync("tiny");
        var first = await server.StartAsync(Plain);
        await RegistryServer.UntilAsync(async () => (await server.Api.GetPipelineAsync(first)).Total == 30 && script.Commands.Count(IsLong) == 2);
        script.Layers = 1;
        script.Seconds = _ => 0.01;
        var second = await server.StartAsync("""{"decomposition":{"bases":4}}""");
        await RegistryServer.UntilAsync(async () => (await server.Api.GetPipelineAsync(second)).Ahead == 2);
        (await server.Client.GetStringAsync($"/pipelines/{second}")).ShouldContain("queued behind up to 2 units of other pipelines");

        // One unit ends, and its worker does all of the second pipeline's before the next of the first.
        held.Release();
        var end = await server.EndOfAsync(second);
        end.State.ShouldBe(PipelineState.Succeeded);
        var commands = script.Commands.OfType<IUnitCommand>().ToList();
        commands.FindAll(command => IsLong(command) && commands.IndexOf(command) < commands.FindLastIndex(other => other is DecomposeLayers && other.PipelineId == second)).Count.ShouldBe(2);
        var state = await server.Api.GetPipelineAsync(first);
        (state.Done, state.State).ShouldBe((2, PipelineState.Running));
        held.Release(100);
        (await server.EndOfAsync(first)).State.ShouldBe(PipelineState.Succeeded);
        commands = [.. script.Commands.OfType<IUnitCommand>()];
        commands.OfType<DecomposeLayers>().Where(command => command.PipelineId == first).Select(command => command.Index).ShouldBe(Enumerable.Range(0, 30), ignoreOrder: true);
    }

    /// <summary>What waits for its turn goes with its pipeline, and is not sent by the next start.</summary>
    [Fact]
    public async Task Commands_of_a_cancelled_pipeline_are_not_sent_any_more()
    {
        using var held = new SemaphoreSlim(0);
        var script = new WorkerScript { Layers = 30, Seconds = _ => 30, Hold = command => command is DecomposeLayers { Index: > 0 } ? held.WaitAsync() : Task.CompletedTask };
        await using var server = await RegistryServer.StartAsync(_folder, script);
        await server.UploadAsync("tiny");
        var pipeline = await server.StartAsync(Plain);
        await RegistryServer.UntilAsync(() => Task.FromResult(script.Count<DecomposeLayers>() == 3));
        (await server.InDatabaseAsync(context => context.Outbox.CountAsync())).ShouldBeGreaterThan(0);
        await server.Api.CancelPipelineAsync(pipeline);
        await RegistryServer.UntilAsync(() => server.InDatabaseAsync(async context => !await context.Outbox.AnyAsync()));
        script.Count<DecomposeLayers>().ShouldBe(3);
        held.Release(100);
        await server.Api.RetryPipelineAsync(pipeline);
        (await server.EndOfAsync(pipeline)).State.ShouldBe(PipelineState.Succeeded);
    }

    [Fact]
    public async Task Messages_that_come_three_times_act_once()
    {
        var script = new WorkerScript { Copies = 3, Layers = 7 };
        await using var server = await RegistryServer.StartAsync(_folder, script);
        await server.UploadAsync("tiny");
        var end = await server.EndOfAsync(await server.StartAsync(Distilled));
        end.State.ShouldBe(PipelineState.Succeeded);
        script.Count<DecomposeLayers>().ShouldBe(7);
        script.Count<DistillRound>().ShouldBe(2);
        var units = await server.InDatabaseAsync(context => context.Units.ToListAsync());
        units.ShouldAllBe(unit => unit.Status == UnitStatus.Done && unit.Attempt == 1);
        (await server.InDatabaseAsync(context => context.Versions.CountAsync())).ShouldBe(2);
    }

    [Fact]
    public async Task Outstanding_work_is_listed_while_a_pipeline_runs()
    {
        var hold = new TaskCompletionSource();
        var script = new WorkerScript { Decompose = hold.Task, Layers = 3 };
        await using var server = await RegistryServer.StartAsync(_folder, script);
        await server.UploadAsync("tiny");
        (await server.Api.ListWorkAsync()).ShouldBeEmpty();
        var pipeline = await server.StartAsync(Plain);
        var work = (await server.Api.ListWorkAsync()).Single();
        work.ShouldBe(new StageWork(pipeline, "decompose", WorkQueues.Quantizer, 1, work.Seconds, work.GpuBytes));
        work.GpuBytes.ShouldNotBeNull().ShouldBeGreaterThan(0);
        work.Seconds.ShouldNotBeNull().ShouldBeGreaterThan(0);
        hold.SetResult();
        (await server.EndOfAsync(pipeline)).State.ShouldBe(PipelineState.Succeeded);
        (await server.Api.ListWorkAsync()).ShouldBeEmpty();
    }

    /// <summary>What a dispatcher of Jobs goes by.</summary>
    [Fact]
    public async Task Every_stage_is_listed_with_its_queue_while_its_units_are_at_work()
    {
        RegistryServer server = null!;
        var listed = new ConcurrentQueue<StageWork>();
        var script = new WorkerScript
        {
            Hold = async _ =>
            {
                foreach (var work in await server.Api.ListWorkAsync())
                    listed.Enqueue(work);
            },
        };
        await using var started = server = await RegistryServer.StartAsync(_folder, script);
        await server.UploadAsync("tiny");
        (await server.EndOfAsync(await server.StartAsync(Distilled))).State.ShouldBe(PipelineState.Succeeded);
        listed.Select(work => (work.Stage, work.Queue)).Distinct().ShouldBe(
            [
                ("sample", WorkQueues.Synthdata), ("gather-data", WorkQueues.Synthdata), ("decompose", WorkQueues.Quantizer), ("assemble-model", WorkQueues.Quantizer),
                ("score", WorkQueues.Synthdata), ("filter", WorkQueues.Synthdata), ("distil", WorkQueues.Quantizer), ("sample-windows", WorkQueues.Synthdata),
                ("gather-windows", WorkQueues.Synthdata), ("evaluate", WorkQueues.Evaluator),
            ], ignoreOrder: true);
    }

    [Fact]
    public async Task A_refused_recipe_fails_with_its_reason_and_others_go_on()
    {
        var script = new WorkerScript { Refuse = command => command is DecomposeLayers d && d.Decomposition == Part("{\"bases\":8}") ? "the model has no layers" : null };
        await using var server = await RegistryServer.StartAsync(_folder, script);
        await server.UploadAsync("tiny");
        var bad = await server.StartAsync("""{"decomposition":{"bases":8}}""");
        var good = await server.StartAsync(Plain);
        var end = await server.EndOfAsync(bad);
        end.State.ShouldBe(PipelineState.Failed);
        end.Error.ShouldBe("decompose 1: the model has no layers");
        (await server.EndOfAsync(good)).State.ShouldBe(PipelineState.Succeeded);
    }

    [Fact]
    public async Task A_worker_that_breaks_down_is_asked_again_and_in_the_end_its_pipeline_fails()
    {
        var broken = 3;
        var script = new WorkerScript { Crash = command => command is AssembleModel && Interlocked.Decrement(ref broken) >= 0 };
        await using var server = await RegistryServer.StartAsync(_folder, script, "--Pipelines:Attempts=4");
        await server.UploadAsync("tiny");
        (await server.EndOfAsync(await server.StartAsync(Plain))).State.ShouldBe(PipelineState.Succeeded);
        script.Count<AssembleModel>().ShouldBe(4);

        broken = int.MaxValue;
        var id = await server.StartAsync("""{"decomposition":{"bases":4}}""");
        var end = await server.EndOfAsync(id);
        end.State.ShouldBe(PipelineState.Failed);
        end.Error.ShouldBe("assemble-model: the worker broke down (attempt 4)");

        broken = 0;
        await server.Api.RetryPipelineAsync(id);
        (await server.EndOfAsync(id)).State.ShouldBe(PipelineState.Succeeded);
    }

    [Fact]
    public async Task A_distillation_that_is_of_no_use_publishes_the_undistilled_student_with_a_note()
    {
        const string note = "published without distillation: the distilled student is no better than before";
        await using var server = await RegistryServer.StartAsync(_folder, new WorkerScript { Undistilled = note });
        await server.UploadAsync("tiny");
        var id = await server.StartAsync(Distilled);
        var end = await server.EndOfAsync(id);
        end.State.ShouldBe(PipelineState.Succeeded);
        (end.Error, end.Note).ShouldBe((null, note));
        var champion = await server.Api.GetVersionAsync("tiny", "champion");
        champion.Lineage!.Note.ShouldBe(note);
        var pipeline = await server.InDatabaseAsync(context => context.Pipelines.SingleAsync());
        champion.Manifest.ShouldBe(pipeline.Student);
        foreach (var page in new[] { $"pipelines/{id}", "models/tiny/versions/2" })
            (await server.Client.GetStringAsync(page)).ShouldContain(note);
    }

    [Fact]
    public async Task A_worker_whose_machine_is_at_fault_costs_no_attempt()
    {
        var broken = 5;
        var script = new WorkerScript { IsBroken = command => command is AssembleModel && Interlocked.Decrement(ref broken) >= 0 };
        await using var server = await RegistryServer.StartAsync(_folder, script, "--Pipelines:Attempts=2");
        await server.UploadAsync("tiny");
        (await server.EndOfAsync(await server.StartAsync(Plain))).State.ShouldBe(PipelineState.Succeeded);
        script.Count<AssembleModel>().ShouldBe(6);
        (await server.InDatabaseAsync(context => context.Units.AllAsync(unit => unit.Failures == 0))).ShouldBeTrue();
    }

    [Fact]
    public async Task Cancel_stops_at_the_next_unit_and_retry_goes_on()
    {
        var hold = new TaskCompletionSource();
        var script = new WorkerScript { Decompose = hold.Task };
        await using var server = await RegistryServer.StartAsync(_folder, script);
        await server.UploadAsync("tiny");
        var id = await server.StartAsync(Plain);
        var cancelled = await server.Api.CancelPipelineAsync(id);
        cancelled.State.ShouldBe(PipelineState.Cancelled);
        hold.SetResult();
        await Task.Delay(300);
        (await server.Api.GetPipelineAsync(id)).State.ShouldBe(PipelineState.Cancelled);
        script.Count<AssembleModel>().ShouldBe(0);
        (await server.Api.CancelPipelineAsync(id)).State.ShouldBe(PipelineState.Cancelled, "a client may repeat it");
        // The answer of the first may be lost, or slow: those with the same key get the same answer.
        var first = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => RetryAsync("key")));
        first.ShouldAllBe(answer => answer.StatusCode == HttpStatusCode.OK);
        (await server.EndOfAsync(id)).State.ShouldBe(PipelineState.Succeeded);
        var second = await RetryAsync("key");
        foreach (var answer in first)
            (await second.Content.ReadAsStringAsync()).ShouldBe(await answer.Content.ReadAsStringAsync());
        second.Headers.GetValues("Idempotency-Replayed").ShouldBe(["true"]);
        await RegistryServer.RefusedAsync(HttpStatusCode.Conflict, () => server.Api.RetryPipelineAsync(id));

        Task<HttpResponseMessage> RetryAsync(string key) =>
            server.Client.SendAsync(new HttpRequestMessage(HttpMethod.Post, $"/api/pipelines/{id}/retry") { Headers = { { "Idempotency-Key", key } } });
    }

    [Fact]
    public async Task Of_two_that_are_asked_at_once_one_runs_and_both_get_its_result()
    {
        var hold = new TaskCompletionSource();
        var script = new WorkerScript { Decompose = hold.Task };
        await using var server = await RegistryServer.StartAsync(_folder, script);
        await server.UploadAsync("tiny");
        var ids = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => server.StartAsync(Plain)));
        var states = await Task.WhenAll(ids.Select(id => server.Api.GetPipelineAsync(id)));
        states.Count(state => state.State == PipelineState.Running).ShouldBe(1);
        states.Count(state => state.State == PipelineState.Queued).ShouldBe(3);
        hold.SetResult();
        foreach (var id in ids)
        {
            var end = await server.EndOfAsync(id);
            end.State.ShouldBe(PipelineState.Succeeded);
            end.Result!.Version.ShouldBe(2);
        }
        script.Count<DecomposeLayers>().ShouldBe(4);
    }

    [Fact]
    public async Task When_the_one_that_runs_is_cancelled_another_takes_its_place()
    {
        var hold = new TaskCompletionSource();
        await using var server = await RegistryServer.StartAsync(_folder, new WorkerScript { Decompose = hold.Task });
        await server.UploadAsync("tiny");
        Guid[] ids = [await server.StartAsync(Plain), await server.StartAsync(Plain), await server.StartAsync(Plain)];
        await server.Api.CancelPipelineAsync(ids[0]);
        hold.SetResult();
        (await server.EndOfAsync(ids[1])).State.ShouldBe(PipelineState.Succeeded);
        (await server.EndOfAsync(ids[2])).State.ShouldBe(PipelineState.Succeeded);
        (await server.EndOfAsync(ids[0])).State.ShouldBe(PipelineState.Cancelled);
    }

    [Fact]
    public async Task A_restart_sends_what_is_outstanding_again()
    {
        Guid id;
        await using (var server = await RegistryServer.StartAsync(_folder, new WorkerScript { Decompose = new TaskCompletionSource().Task }))
        {
            await server.UploadAsync("tiny");
            id = await server.StartAsync(Plain);
            await RegistryServer.UntilAsync(() => server.InDatabaseAsync(async context => !await context.Outbox.AnyAsync()));
        }
        await using var again = await RegistryServer.StartAsync(_folder);
        (await again.EndOfAsync(id)).State.ShouldBe(PipelineState.Succeeded);
    }

    [Fact]
    public async Task What_cannot_be_made_use_of_fails_its_pipeline_with_the_reason_and_others_go_on()
    {
        var hold = new TaskCompletionSource();
        await using var server = await RegistryServer.StartAsync(_folder, new WorkerScript { Decompose = hold.Task });
        await server.UploadAsync("tiny");
        var broken = await server.StartAsync(Plain);
        var other = await server.StartAsync("""{"decomposition":{"bases":4}}""");
        await server.InDatabaseAsync(context => context.Pipelines.Where(pipeline => pipeline.Id == broken)
            .ExecuteUpdateAsync(rows => rows.SetProperty(row => row.RecipeJson, "damaged")));
        hold.SetResult();
        var end = await server.EndOfAsync(broken);
        end.State.ShouldBe(PipelineState.Failed);
        end.Error!.ShouldStartWith("the registry cannot make use of what a worker said: ");
        (await server.EndOfAsync(other)).State.ShouldBe(PipelineState.Succeeded);
    }

    [Fact]
    public async Task What_is_undone_is_not_counted()
    {
        await using var server = await RegistryServer.StartAsync(_folder, new WorkerScript { Decompose = new TaskCompletionSource().Task });
        await server.UploadAsync("tiny");
        var id = await server.StartAsync(Plain);
        var ended = 0L;
        using var listener = new MeterListener();
        listener.InstrumentPublished = (instrument, own) =>
        {
            if (instrument.Name == "qbb.pipelines.ended" && instrument.Meter.Scope == server.Services.GetRequiredService<IMeterFactory>())
                own.EnableMeasurementEvents(instrument);
        };
        listener.SetMeasurementEventCallback<long>((_, value, _, _) => Interlocked.Add(ref ended, value));
        listener.Start();
        async Task CancelAsync(Func<Task> also)
        {
            await using var scope = server.Services.CreateAsyncScope();
            await scope.ServiceProvider.GetRequiredService<PipelineInbox>().ApplyAsync([id], new PipelineEvent.Cancelled(), also, CancellationToken.None);
        }
        await Should.ThrowAsync<TimeoutException>(() => CancelAsync(() => throw new TimeoutException()));
        (await server.Api.GetPipelineAsync(id)).State.ShouldBe(PipelineState.Running);
        ended.ShouldBe(0);
        await CancelAsync(() => Task.CompletedTask);
        ended.ShouldBe(1);
    }

    [Fact]
    public async Task Changes_are_streamed_until_the_end()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        await server.UploadAsync("tiny");
        var id = await server.StartAsync(Distilled);
        var states = await server.Api.WatchPipelineAsync(id).ToListAsync();
        states.Count.ShouldBeGreaterThan(1);
        states[^1].State.ShouldBe(PipelineState.Succeeded);
        states.Select(state => state.Progress).ShouldBeInOrder();
    }

    [Theory]
    [InlineData("""{"decomposition":{},"more":1,"filter":{}}""", "unknown member more", "filter is given but nothing is distilled")]
    [InlineData("""{"evaluation":{"text":"abc"}}""", "a decomposition or a preset is missing", "evaluation.text is not a digest")]
    [InlineData("[]", "not a JSON object")]
    [InlineData("""{"decomposition":{"bases":9,"base":2,"refinement":"none","rounds":3},"distillation":{"steps":0,"speed":1,"loss":"mse"}}""",
        "unknown member base", "bases is 9, it must be 1 to 8", "rounds is set, but with refinement none nothing is refined", "unknown member distillation.speed",
        "distillation.loss is \"mse\"", "steps is 0")]
    [InlineData("""{"decomposition":{"importance":"full"},"sampling":{"length":1,"topp":1,"sequences":"many"},"evaluation":{"windows":0,"sampling":{"seeds":1}}}""",
        "unknown member sampling.topp", "sampling.sequences is \"many\"", "length is 1", "windows is 0", "unknown member evaluation.sampling.seeds")]
    public async Task A_recipe_that_cannot_be_used_is_refused_with_everything_that_is_wrong(string recipe, params string[] problems)
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        await server.UploadAsync("tiny");
        var refused = await RegistryServer.RefusedAsync(HttpStatusCode.UnprocessableEntity, () => server.StartAsync(recipe));
        refused.Errors.Count.ShouldBe(problems.Length, refused.Message);
        foreach (var problem in problems)
            refused.Message.ShouldContain(problem);
    }

    [Fact]
    public async Task Several_recipes_are_compared_and_the_gate_chooses()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        string[] recipes = ["""{"decomposition":{"bases":2}}""", """{"decomposition":{"bases":3}}""", """{"decomposition":{"bases":4}}"""];
        (double, double)[] qualities = [(0.30, 2.25), (0.06, 3.25), (0.01, 4.25)];
        await server.UploadAsync("tiny");
        foreach (var (recipe, quality) in recipes.Zip(qualities))
        {
            var id = await server.StartAsync(recipe);
            var end = await server.EndOfAsync(id);
            var version = end.Result!.Version;
            await server.Api.SetMetricsAsync("tiny", $"{version}", new() { ["kl"] = quality.Item1, ["bitsPerWeight"] = quality.Item2 });
        }
        async Task<int?> ChampionAsync(Gate gate) => (await server.Api.SetGateAsync("tiny", gate)).Champion;
        (await ChampionAsync(new())).ShouldBe(4);
        (await ChampionAsync(new() { MaxBitsPerWeight = 3.5 })).ShouldBe(3);
        (await ChampionAsync(new() { MaxBitsPerWeight = 2.5 })).ShouldBe(2);
        (await ChampionAsync(new() { MaxBitsPerWeight = 2.5, MaxKl = 0.1 })).ShouldBeNull();
        var gate = await server.Api.GetGateAsync("tiny");
        gate.Refused[2].ShouldBe("its KL is 0.3 nats, the gate allows 0.1");
        gate.Refused[4].ShouldBe("it has 4.25 bits per weight, the budget is 2.5");
        (await server.Api.RemoveGateAsync("tiny")).Own.ShouldBeFalse();
    }

    public void Dispose() => _folder.Dispose();

    private static Digest Part(string json) => PipelineRecipe.DigestOf((JsonObject)JsonNode.Parse(json)!);
}
