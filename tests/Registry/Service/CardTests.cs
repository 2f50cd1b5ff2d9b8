using System.Text;
using Qbb.Tests;

namespace Qbb.Registry.Tests.Service;

/// <summary>Model cards: what the hub reads of their head, and what people read below it.</summary>
public sealed class CardTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Fact]
    public async Task A_quantized_version_has_a_card_with_results_lineage_and_limits()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        await server.UploadAsync("tiny");
        await server.EndOfAsync(await server.StartAsync("""{"decomposition":{"bases":2,"importance":"full"},"distillation":{"steps":30}}""", name: "two"));
        var card = await server.Api.GetCardAsync("tiny", "champion");
        var head = card.Split("---\n")[1];
        foreach (var line in (string[])["base_model: \"tiny\"", "base_model_relation: quantized", "pipeline_tag: text-generation", "- name: \"tiny-2\"", "    - type: perplexity", "      type: sampled"])
            head.Split('\n').ShouldContain(line);
        head.ShouldContain("- type: kl_divergence\n      value: 0.05\n");
        card.ShouldContain("# tiny version 2");
        card.ShouldContain("| KL divergence | 0.0500 nats |");
        card.ShouldContain($"[tiny version 1]({server.Client.BaseAddress!.AbsoluteUri}models/tiny/versions/1)");
        card.ShouldContain("\"steps\": 30");
        card.ShouldContain("qbb pull tiny@2");
        card.ShouldContain("its perplexity does not compare with published ones");
    }

    [Fact]
    public async Task A_card_keeps_base_model_and_license_of_the_readme_and_nothing_that_is_no_line()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        var files = RegistryServer.SmallModel();
        files["README.md"] = Encoding.UTF8.GetBytes("---\nlicense: apache-2.0\nbase_model: \"org/large\"\nlicense_link: x\n---\n# Mine\n---\nlicense: other\n");
        await server.UploadAsync("tiny", files);
        var card = await server.Api.GetCardAsync("tiny", "1");
        card.ShouldStartWith("---\nlicense: apache-2.0\npipeline_tag");
        card.ShouldNotContain("base_model_relation");
        card.ShouldContain("It was not evaluated");
        card.ShouldNotContain("model-index");
    }

    [Fact]
    public async Task Exports_have_the_commands_that_use_them_on_card_and_page()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        var files = RegistryServer.SmallModel();
        (files["exports/gguf-q4_1.gguf"], files["exports/gptq/config.json"], files["exports/gptq/model.safetensors"]) = ([1], [2], [3]);
        await server.UploadAsync("tiny", files);
        foreach (var text in new[] { await server.Api.GetCardAsync("tiny", "1"), await server.Client.GetStringAsync("/models/tiny/versions/1") })
        {
            text.ShouldContain("llama-cli -m tiny-1/exports/gguf-q4_1.gguf");
            text.Split("vllm serve tiny-1/exports/gptq").Length.ShouldBe(2);
        }
    }

    [Fact]
    public async Task A_policy_may_ask_for_exports()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        async Task<string> PutAsync(string decomposition)
        {
            var answer = await server.Client.PutAsync("/api/policies/p", new StringContent($$"""{"models":"*","recipes":[{"name":"served","recipe":{"decomposition":{{decomposition}} } }]}""", Encoding.UTF8, "application/json"));
            return answer.IsSuccessStatusCode ? "" : await answer.Content.ReadAsStringAsync();
        }
        (await PutAsync("""{"target":"gptq","importance":"full","exports":["gptq","compressed-tensors"]}""")).ShouldBeEmpty();
        (await PutAsync("""{"bases":3,"exports":["gptq"]}""")).ShouldContain("exports has gptq, which does not hold levels of no target");
        await server.UploadAsync("tiny");
        var pipeline = await server.EndOfAsync(await server.StartAsync("""{"decomposition":{"target":"gguf-q4_0","exports":["gguf-q4_0"]} }"""));
        pipeline.State.ShouldBe(PipelineState.Succeeded);
    }

    public void Dispose() => _folder.Dispose();
}
