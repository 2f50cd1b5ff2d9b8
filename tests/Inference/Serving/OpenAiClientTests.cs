using System.ComponentModel;
using System.Diagnostics;
using System.Text.Json.Nodes;
using Qbb.Tests;

namespace Qbb.Inference.Tests.Serving;

/// <summary>npm's openai, the client that OpenAI publishes, run by node.</summary>
public class OpenAiClientTests(TinyModel model) : IClassFixture<TinyModel>
{
    private static readonly string s_folder = Path.Combine(Reference.Root, "tests", "Inference");

    [Fact]
    public async Task OpenAIs_own_client_reads_every_answer()
    {
        Assert.SkipUnless(Directory.Exists(Path.Combine(s_folder, "node_modules", "openai")), "npm did not install openai (make npm-packages)");
        await using var server = await TestServer.StartAsync(model, key: "secret");
        var result = await AskAsync(server.Address, "secret");

        result["models"]!.ToJsonString().ShouldBe("""["tiny"]""");
        var chat = result["chat"]!["choices"]![0]!;
        var text = $"{chat["message"]!["content"]}";
        text.ShouldNotBeEmpty();
        chat["logprobs"]!["content"]!.AsArray().Count.ShouldBe((int)result["chat"]!["usage"]!["completion_tokens"]!);
        var deltas = result["deltas"]!.AsArray();
        string.Concat(deltas.Where(part => part!["choices"]!.AsArray().Count > 0).Select(part => $"{part!["choices"]![0]!["delta"]!["content"]}")).ShouldBe(text);
        deltas[^1]!["usage"]!["total_tokens"]!.GetValue<int>().ShouldBe((int)result["chat"]!["usage"]!["total_tokens"]!);
        $"{result["final"]!["choices"]![0]!["message"]!["content"]}".ShouldBe(text);
        $"{result["final"]!["choices"]![0]!["finish_reason"]}".ShouldBe($"{chat["finish_reason"]}");

        var completions = result["completion"]!["choices"]!.AsArray();
        completions.Count.ShouldBe(2);
        completions[0]!["logprobs"]!["tokens"]!.AsArray().Count.ShouldBe(8);
        string.Concat(result["texts"]!.AsArray()).ShouldBe($"{completions[0]!["text"]}");
        $"{result["after"]}".ShouldBe($"{completions[0]!["text"]}");

        ($"{result["unknown"]!["name"]}", (int)result["unknown"]!["status"]!, $"{result["unknown"]!["code"]}").ShouldBe(("NotFoundError", 404, "model_not_found"));
        ($"{result["wrong"]!["name"]}", $"{result["wrong"]!["param"]}").ShouldBe(("BadRequestError", "temperature"));
        $"{result["wrong"]!["message"]}".ShouldContain("temperature is 9; it must be 0 to 2.");
        ($"{result["key"]!["name"]}", $"{result["key"]!["code"]}").ShouldBe(("AuthenticationError", "invalid_api_key"));
    }

    private static async Task<JsonNode> AskAsync(params string[] arguments)
    {
        var info = new ProcessStartInfo("node", [Path.Combine(s_folder, "Serving", "client.mjs"), .. arguments]) { RedirectStandardOutput = true, RedirectStandardError = true };
        Process? started = null;
        try
        {
            started = Process.Start(info);
        }
        catch (Win32Exception)
        {
            Assert.Skip("node is not installed");
        }
        using var process = started!;
        var (output, error) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        await process.WaitForExitAsync(new CancellationTokenSource(TimeSpan.FromMinutes(1)).Token);
        process.ExitCode.ShouldBe(0, await error);
        return JsonNode.Parse(await output)!;
    }
}
