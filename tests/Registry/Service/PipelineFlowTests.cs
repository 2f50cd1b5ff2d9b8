using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.EntityFrameworkCore;
using Qbb.Contracts;
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
        (await server.Client.PutAsJsonAsync("/api/policies/all", Policy(("mine", recipe)))).StatusCode.ShouldBe(HttpStatusCode.Created);

        var uploaded = await server.UploadAsync("tiny");
        var end = await server.EndOfAsync(uploaded.GetProperty("pipelines")[0].GetString()!);

        end.GetProperty("error").GetString().ShouldBeNull();
        end.GetProperty("state").GetString().ShouldBe("succeeded");
        string.Join(' ', end.GetProperty("stages").EnumerateArray().Select(stage => stage.GetProperty("name").GetString())).ShouldBe(stages);
        end.GetProperty("stages").EnumerateArray().ShouldAllBe(stage => stage.GetProperty("state").GetString() == "done");
        end.GetProperty("progress").GetDouble().ShouldBe(1);
        var metrics = end.GetProperty("metrics");
        metrics.GetProperty("perplexity").GetDouble().ShouldBe(Math.Exp(2.1), 1e-12);
        metrics.GetProperty("teacherPerplexity").GetDouble().ShouldBe(Math.Exp(2.0), 1e-12);
        metrics.GetProperty("kl").GetDouble().ShouldBe(0.05, 1e-12);
        metrics.GetProperty("top1").GetDouble().ShouldBe(0.8, 1e-12);

        var champion = await server.Client.GetFromJsonAsync<JsonElement>("/api/models/tiny/versions/champion");
        champion.GetProperty("version").GetInt32().ShouldBe(2);
        champion.GetProperty("kind").GetString().ShouldBe("quantized");
        champion.GetProperty("lineage").GetProperty("parent").GetProperty("version").GetInt32().ShouldBe(1);
        champion.GetProperty("lineage").GetProperty("recipeName").GetString().ShouldBe("mine");
        champion.GetProperty("lineage").GetProperty("recipe").GetString().ShouldBe(PipelineRecipe.Parse(recipe).Digest.Value);
        var name = champion.GetProperty("files")[0].GetProperty("name").GetString();
        (await server.Client.GetStringAsync($"/api/models/tiny/versions/champion/files/{name}")).ShouldStartWith("result of ");
    }

    [Fact]
    public async Task Messages_that_come_three_times_act_once()
    {
        var script = new WorkerScript { Copies = 3, Layers = 7 };
        await using var server = await RegistryServer.StartAsync(_folder, script);
        await server.UploadAsync("tiny");
        var end = await server.EndOfAsync(await StartAsync(server, Distilled));
        end.GetProperty("state").GetString().ShouldBe("succeeded");
        script.Count<DecomposeLayers>().ShouldBe(7);
        script.Count<DistillRound>().ShouldBe(2);
        var units = await server.InDatabaseAsync(context => context.Units.ToListAsync());
        units.ShouldAllBe(unit => unit.Status == UnitStatus.Done && unit.Attempt == 1);
        (await server.InDatabaseAsync(context => context.Versions.CountAsync())).ShouldBe(2);
    }

    [Fact]
    public async Task A_refused_recipe_fails_with_its_reason_and_others_go_on()
    {
        var script = new WorkerScript { Refuse = command => command is DecomposeLayers d && d.Decomposition == Part("{\"bases\":8}") ? "the model has no layers" : null };
        await using var server = await RegistryServer.StartAsync(_folder, script);
        await server.UploadAsync("tiny");
        var bad = await StartAsync(server, """{"decomposition":{"bases":8}}""");
        var good = await StartAsync(server, Plain);
        var end = await server.EndOfAsync(bad);
        end.GetProperty("state").GetString().ShouldBe("failed");
        end.GetProperty("error").GetString().ShouldBe("decompose 1: the model has no layers");
        (await server.EndOfAsync(good)).GetProperty("state").GetString().ShouldBe("succeeded");
    }

    [Fact]
    public async Task A_worker_that_breaks_down_is_asked_again_and_in_the_end_its_pipeline_fails()
    {
        var broken = 3;
        var script = new WorkerScript { Crash = command => command is AssembleModel && Interlocked.Decrement(ref broken) >= 0 };
        await using var server = await RegistryServer.StartAsync(_folder, script, "--Pipelines:Attempts=4");
        await server.UploadAsync("tiny");
        (await server.EndOfAsync(await StartAsync(server, Plain))).GetProperty("state").GetString().ShouldBe("succeeded");
        script.Count<AssembleModel>().ShouldBe(4);

        broken = int.MaxValue;
        var id = await StartAsync(server, """{"decomposition":{"bases":4}}""");
        var end = await server.EndOfAsync(id);
        end.GetProperty("state").GetString().ShouldBe("failed");
        end.GetProperty("error").GetString().ShouldBe("assemble-model: the worker broke down (attempt 4)");

        broken = 0;
        (await server.Client.PostAsync($"/api/pipelines/{id}/retry", null)).EnsureSuccessStatusCode();
        (await server.EndOfAsync(id)).GetProperty("state").GetString().ShouldBe("succeeded");
    }

    [Fact]
    public async Task Cancel_stops_at_the_next_unit_and_retry_goes_on()
    {
        var hold = new TaskCompletionSource();
        var script = new WorkerScript { Decompose = hold.Task };
        await using var server = await RegistryServer.StartAsync(_folder, script);
        await server.UploadAsync("tiny");
        var id = await StartAsync(server, Plain);
        var cancelled = await (await server.Client.DeleteAsync($"/api/pipelines/{id}")).Content.ReadFromJsonAsync<JsonElement>();
        cancelled.GetProperty("state").GetString().ShouldBe("cancelled");
        hold.SetResult();
        await Task.Delay(300);
        (await server.Client.GetFromJsonAsync<JsonElement>($"/api/pipelines/{id}")).GetProperty("state").GetString().ShouldBe("cancelled");
        script.Count<AssembleModel>().ShouldBe(0);
        (await server.Client.PostAsync($"/api/pipelines/{id}/retry", null)).EnsureSuccessStatusCode();
        (await server.EndOfAsync(id)).GetProperty("state").GetString().ShouldBe("succeeded");
        (await server.Client.PostAsync($"/api/pipelines/{id}/retry", null)).StatusCode.ShouldBe(HttpStatusCode.Conflict);
    }

    [Fact]
    public async Task Of_two_that_are_asked_at_once_one_runs_and_both_get_its_result()
    {
        var hold = new TaskCompletionSource();
        var script = new WorkerScript { Decompose = hold.Task };
        await using var server = await RegistryServer.StartAsync(_folder, script);
        await server.UploadAsync("tiny");
        var ids = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => StartAsync(server, Plain)));
        var states = await Task.WhenAll(ids.Select(id => server.Client.GetFromJsonAsync<JsonElement>($"/api/pipelines/{id}")));
        states.Count(state => state.GetProperty("state").GetString() == "running").ShouldBe(1);
        states.Count(state => state.GetProperty("state").GetString() == "queued").ShouldBe(3);
        hold.SetResult();
        foreach (var id in ids)
        {
            var end = await server.EndOfAsync(id);
            end.GetProperty("state").GetString().ShouldBe("succeeded");
            end.GetProperty("result").GetProperty("version").GetInt32().ShouldBe(2);
        }
        script.Count<DecomposeLayers>().ShouldBe(4);
    }

    [Fact]
    public async Task When_the_one_that_runs_is_cancelled_another_takes_its_place()
    {
        var hold = new TaskCompletionSource();
        await using var server = await RegistryServer.StartAsync(_folder, new WorkerScript { Decompose = hold.Task });
        await server.UploadAsync("tiny");
        string[] ids = [await StartAsync(server, Plain), await StartAsync(server, Plain), await StartAsync(server, Plain)];
        await server.Client.DeleteAsync($"/api/pipelines/{ids[0]}");
        hold.SetResult();
        (await server.EndOfAsync(ids[1])).GetProperty("state").GetString().ShouldBe("succeeded");
        (await server.EndOfAsync(ids[2])).GetProperty("state").GetString().ShouldBe("succeeded");
        (await server.EndOfAsync(ids[0])).GetProperty("state").GetString().ShouldBe("cancelled");
    }

    [Fact]
    public async Task A_restart_sends_what_is_outstanding_again()
    {
        string id;
        await using (var server = await RegistryServer.StartAsync(_folder, new WorkerScript { Decompose = new TaskCompletionSource().Task }))
        {
            await server.UploadAsync("tiny");
            id = await StartAsync(server, Plain);
            await WaitForAsync(() => server.InDatabaseAsync(async context => !await context.Outbox.AnyAsync()));
        }
        await using var again = await RegistryServer.StartAsync(_folder);
        (await again.EndOfAsync(id)).GetProperty("state").GetString().ShouldBe("succeeded");
    }

    [Fact]
    public async Task What_cannot_be_made_use_of_fails_its_pipeline_with_the_reason_and_others_go_on()
    {
        var hold = new TaskCompletionSource();
        await using var server = await RegistryServer.StartAsync(_folder, new WorkerScript { Decompose = hold.Task });
        await server.UploadAsync("tiny");
        var broken = await StartAsync(server, Plain);
        var other = await StartAsync(server, """{"decomposition":{"bases":4}}""");
        await server.InDatabaseAsync(context => context.Pipelines.Where(pipeline => pipeline.Id == Guid.Parse(broken))
            .ExecuteUpdateAsync(rows => rows.SetProperty(row => row.RecipeJson, "damaged")));
        hold.SetResult();
        var end = await server.EndOfAsync(broken);
        end.GetProperty("state").GetString().ShouldBe("failed");
        end.GetProperty("error").GetString()!.ShouldStartWith("the registry cannot make use of what a worker said: ");
        (await server.EndOfAsync(other)).GetProperty("state").GetString().ShouldBe("succeeded");
    }

    [Fact]
    public async Task Changes_are_streamed_until_the_end()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        await server.UploadAsync("tiny");
        var id = await StartAsync(server, Distilled);
        var states = new List<JsonNode>();
        using var reader = new StreamReader(await server.Client.GetStreamAsync($"/api/pipelines/{id}/events"));
        while (await reader.ReadLineAsync() is { } line)
        {
            if (line.StartsWith("data: ", StringComparison.Ordinal))
                states.Add(JsonNode.Parse(line[6..])!);
        }
        states.Count.ShouldBeGreaterThan(1);
        states[^1]["state"]!.ToString().ShouldBe("succeeded");
        states.Select(state => state["progress"]!.GetValue<double>()).ShouldBeInOrder();
    }

    [Theory]
    [InlineData("""{"decomposition":{},"more":1,"filter":{}}""", "unknown member more", "filter is given but nothing is distilled")]
    [InlineData("""{"evaluation":{"text":"abc"}}""", "decomposition is missing")]
    [InlineData("[]", "no JSON object")]
    [InlineData("""{"decomposition":{"bases":9,"base":2,"refinement":"none","rounds":3},"distillation":{"steps":0,"speed":1,"loss":"mse"}}""",
        "unknown member base", "bases is 9, it must be 1 to 8", "rounds is set but refinement is none", "unknown member distillation.speed",
        "distillation.loss is \"mse\"", "steps is 0")]
    [InlineData("""{"decomposition":{"importance":"full"},"sampling":{"length":1,"topp":1,"sequences":"many"},"evaluation":{"windows":0,"sampling":{"seeds":1}}}""",
        "unknown member sampling.topp", "sampling.sequences is \"many\"", "length is 1", "windows is 0", "unknown member evaluation.sampling.seeds")]
    public async Task A_recipe_that_cannot_be_used_is_refused_with_everything_that_is_wrong(string recipe, params string[] problems)
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        await server.UploadAsync("tiny");
        var response = await server.Client.PostAsJsonAsync("/api/pipelines", new { model = "tiny", recipe = JsonNode.Parse(recipe) });
        response.StatusCode.ShouldBe(HttpStatusCode.UnprocessableEntity);
        var told = await response.Content.ReadFromJsonAsync<JsonElement>();
        told.GetProperty("errors").GetArrayLength().ShouldBe(problems.Length, $"{told}");
        foreach (var problem in problems)
            told.GetProperty("detail").GetString()!.ShouldContain(problem);
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
            var id = await StartAsync(server, recipe);
            var end = await server.EndOfAsync(id);
            var version = end.GetProperty("result").GetProperty("version").GetInt32();
            (await server.Client.PutAsJsonAsync($"/api/models/tiny/versions/{version}/metrics", new { kl = quality.Item1, bitsPerWeight = quality.Item2 }))
                .StatusCode.ShouldBe(HttpStatusCode.NoContent);
        }
        async Task<int?> ChampionAsync(object gate)
        {
            var response = await server.Client.PutAsJsonAsync("/api/models/tiny/gate", gate);
            response.EnsureSuccessStatusCode();
            var champion = (await response.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("champion");
            return champion.ValueKind == JsonValueKind.Null ? null : champion.GetInt32();
        }
        (await ChampionAsync(new { })).ShouldBe(4);
        (await ChampionAsync(new { maxBitsPerWeight = 3.5 })).ShouldBe(3);
        (await ChampionAsync(new { maxBitsPerWeight = 2.5 })).ShouldBe(2);
        (await ChampionAsync(new { maxBitsPerWeight = 2.5, maxKl = 0.1 })).ShouldBeNull();
        var gate = await server.Client.GetFromJsonAsync<JsonElement>("/api/models/tiny/gate");
        gate.GetProperty("refused").GetProperty("2").GetString().ShouldBe("its KL is 0.3 nats, the gate allows 0.1");
        gate.GetProperty("refused").GetProperty("4").GetString().ShouldBe("it has 4.25 bits per weight, the budget is 2.5");
    }

    public void Dispose() => _folder.Dispose();

    private static object Policy(params (string Name, string Recipe)[] recipes) => new
    {
        models = "*",
        recipes = recipes.Select(recipe => new { name = recipe.Name, recipe = JsonNode.Parse(recipe.Recipe) }),
    };

    private static Digest Part(string json) => PipelineRecipe.DigestOf((JsonObject)JsonNode.Parse(json)!);

    private static async Task<string> StartAsync(RegistryServer server, string recipe)
    {
        var response = await server.Client.PostAsJsonAsync("/api/pipelines", new { model = "tiny", version = 1, recipe = JsonNode.Parse(recipe) });
        response.StatusCode.ShouldBe(HttpStatusCode.Accepted, await response.Content.ReadAsStringAsync());
        return (await response.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("id").GetString()!;
    }

    private static async Task WaitForAsync(Func<Task<bool>> condition)
    {
        for (var tries = 0; tries < 200; tries++)
        {
            if (await condition())
                return;
            await Task.Delay(50);
        }
        throw new TimeoutException("it did not happen");
    }
}
