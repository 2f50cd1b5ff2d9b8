using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json.Nodes;
using Qbb.Contracts;
using Qbb.Recipes;
using Qbb.Registry.Data;
using Qbb.Tests;

namespace Qbb.Registry.Tests.Service;

/// <summary>What people chose holds: limits that are written, an alias that is set, a policy that is deleted, a model that is quantized already.</summary>
public sealed class ChoicesTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Theory]
    [InlineData("/api/models/tiny/gate", """{"foo":1}""", "unknown member foo")]
    [InlineData("/api/models/tiny/gate", """{"maxKl":1,}""", "invalid JSON")]
    [InlineData("/api/models/tiny/gate", """{"maxKl":"a"}""", "the value of maxKl is of the wrong type")]
    [InlineData("/api/models/tiny/aliases/best", "{}", "missing members: 'version'")]
    [InlineData("/api/models/tiny/gate", "", "the body is missing")]
    [InlineData("/api/policies/p", """{"models":"*","recipes":[{"name":"a","recipe":{"decomposition":{}}}],"gate":{"maxKL2":1}}""", "unknown member maxKL2")]
    [InlineData("/api/policies/p", """{"models":"*","recipe":[]}""", "unknown member recipe")]
    [InlineData("/api/policies/p", """{"models":"*","recipes":[{"name":"a","recipe":{"decomposition":{}},"when":"always"}]}""", "unknown member when")]
    public async Task Gates_and_policies_refuse_members_that_they_do_not_know(string address, string body, string said)
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        await server.UploadAsync("tiny");
        var answer = await server.Client.PutAsync(address, new StringContent(body, Encoding.UTF8, "application/json"));
        answer.StatusCode.ShouldBe(HttpStatusCode.BadRequest);
        var detail = (await answer.Content.ReadFromJsonAsync<JsonNode>())!["detail"]!.ToString();
        detail.ShouldContain(said);
        detail.ShouldNotContain("Qbb.");
    }

    [Fact]
    public async Task A_champion_is_replaced_by_a_larger_version_only_when_somebody_asks_and_one_set_by_hand_stays()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        await server.UploadAsync("tiny");
        async Task PublishAsync(int bases) =>
            (await server.EndOfAsync(await server.StartAsync($$"""{"decomposition":{"bases":{{bases}} } }"""))).State.ShouldBe(PipelineState.Succeeded);
        async Task<int> ChampionAsync() => (await server.Api.GetAliasAsync("tiny", "champion")).Version;

        await PublishAsync(2);
        (await ChampionAsync()).ShouldBe(2);
        await server.Api.SetMetricsAsync("tiny", "2", new() { ["kl"] = 0.3, ["bitsPerWeight"] = 2.25 });
        await PublishAsync(3);
        (await server.Api.GetVersionAsync("tiny", "3")).Metrics["kl"].ShouldBeLessThan(0.3);
        (await ChampionAsync()).ShouldBe(2, "version 3 is better and larger");
        (await server.Api.GetGateAsync("tiny")).Champion.ShouldBe(2);

        (await server.Api.SetGateAsync("tiny", new Gate { MaxBitsPerWeight = 4 })).Champion.ShouldBe(3);
        (await ChampionAsync()).ShouldBe(3, "a budget allows it");

        (await server.Api.SetAliasAsync("tiny", "champion", new AliasChange(2))).Held.ShouldBeTrue();
        await PublishAsync(4);
        await server.Api.SetGateAsync("tiny", new Gate { MaxKl = 1 });
        (await ChampionAsync()).ShouldBe(2, "it was set by hand");

        await server.Api.RemoveAliasAsync("tiny", "champion");
        await server.Api.SetGateAsync("tiny", new Gate { MaxKl = 1 });
        (await ChampionAsync()).ShouldBe(3, "it was released");
        (await server.Api.GetAliasAsync("tiny", "champion")).Held.ShouldBeFalse();
    }

    [Fact]
    public async Task A_default_policy_that_is_deleted_stays_deleted()
    {
        const string Setting = """--Registry:DefaultPolicy:Recipes:two={"decomposition":{"bases":2}}""";
        await using (var first = await RegistryServer.StartAsync(_folder, null, Setting))
        {
            (await first.Api.ListPoliciesAsync()).Items.Select(policy => policy.Name).ShouldBe(["default"]);
            await first.Api.RemovePolicyAsync("default");
        }
        await using var second = await RegistryServer.StartAsync(_folder, null, Setting);
        (await second.Api.ListPoliciesAsync()).Items.ShouldBeEmpty();
    }

    [Theory]
    [InlineData("qbb")]
    [InlineData("gptq")]
    [InlineData("awq")]
    public async Task A_model_that_is_quantized_already_starts_nothing(string method)
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        await server.Api.SetPolicyAsync("all", new PolicyChange("*", [new NamedRecipe("two", JsonNode.Parse("""{"decomposition":{"bases":2}}""")!)]));
        var files = RegistryServer.SmallModel();
        files["config.json"] = Encoding.UTF8.GetBytes($$"""{"model_type":"llama","quantization_config":{"quant_method":"{{method}}"} }""");
        var uploaded = await server.UploadAsync("tiny", files);
        uploaded.Pipelines.ShouldBeEmpty();
        uploaded.Note.ShouldBe($"the model is quantized already, by {method}: no pipeline is started");
        (await server.Api.GetVersionAsync("tiny", "1")).Kind.ShouldBe(VersionKind.Quantized);
        (await server.UploadAsync("plain")).Pipelines.Count.ShouldBe(1);
    }

    /// <summary>One policy for models of all sizes and machines of all kinds: data and training are planned for each.</summary>
    [Theory]
    [InlineData(false), InlineData(true)]
    public async Task A_preset_is_planned_for_the_model_and_the_workers(bool gpu)
    {
        await using var server = await RegistryServer.StartAsync(_folder, null, $"Pipelines:Workers:Gpu={gpu}", "Pipelines:Workers:Cores=3", "Pipelines:Workers:CpuAvx512=false");
        var preset = """{"preset":"balanced","decomposition":{"bases":2}}""";
        await server.Api.SetPolicyAsync("all", new PolicyChange("*", [new NamedRecipe("two", JsonNode.Parse(preset)!)]));
        var model = new GgufBuilder().Add("general.architecture", "llama").Add("llama.block_count", 2u).Add("llama.embedding_length", 64u)
            .Add("llama.feed_forward_length", 128u).Add("llama.attention.head_count", 4u).Add("llama.context_length", 48u).Add("llama.vocab_size", 100u).Build();
        var uploaded = await server.UploadAsync("small", new() { ["model.gguf"] = model });
        var expected = PipelineRecipe.Parse(preset).Planned(new ModelShape(2, 64, 128, 64, 64, 100, 48).Counts(model.Length), 48, new WorkMachine(3, gpu, Avx512: false));
        var made = await server.Api.GetPipelineAsync(uploaded.Pipelines.Single());
        made.Recipe.ShouldBe(expected.Digest.Value);
        expected.Sampling!["length"]!.GetValue<int>().ShouldBe(48, "the model has no longer context");
        (expected.Type == Precision.Bf16).ShouldBe(gpu);
        // The same by hand, and with the pages' form.
        var started = await server.StartAsync(preset, "small");
        (await server.Api.GetPipelineAsync(started)).Recipe.ShouldBe(made.Recipe);
        (await RegistryServer.RefusedAsync(HttpStatusCode.UnprocessableEntity, () => server.StartAsync("""{"preset":"quick"}""", "small"))).Message.ShouldContain("preset quick is unknown");
    }

    [Fact]
    public async Task A_failed_pipeline_says_where_without_folders_of_the_server()
    {
        var script = new WorkerScript { Refuse = command => command is AssembleModel ? "/var/lib/qbb/units/a1/model.safetensors: the header is cut off" : null };
        await using var server = await RegistryServer.StartAsync(_folder, script);
        await server.UploadAsync("tiny");
        var end = await server.EndOfAsync(await server.StartAsync("""{"decomposition":{"bases":2}}"""));
        end.Error.ShouldBe("assemble-model: …/model.safetensors: the header is cut off");
        end.Stages.Select(stage => stage.State).ShouldBe([StageState.Failed, StageState.Waiting, StageState.Waiting]);
        var page = await server.Client.GetStringAsync($"/pipelines/{end.Id}");
        page.ShouldContain("""<li class="failed">""");
        page.ShouldNotContain("/var/lib");
    }

    public void Dispose() => _folder.Dispose();
}
