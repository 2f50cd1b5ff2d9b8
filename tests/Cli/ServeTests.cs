using System.Diagnostics;
using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using Qbb.Tests;

namespace Qbb.Cli.Tests;

/// <summary>qbb serve as a process of its own; its API is tested with the room it lives in.</summary>
public class ServeTests
{
    private static readonly string s_teacher = Path.Combine(Reference.Root, "samples", "teacher");

    [Fact]
    public async Task A_model_is_served_until_the_process_is_told_to_stop()
    {
        await ServedAsync(["serve", s_teacher, "--port", "0", "--threads", "1", "--context", "64", "--parallel", "2", "--json"], async (started, client) =>
        {
            ($"{started["model"]}", (int)started["context"]!).ShouldBe(("teacher", 64));
            var (_, completion) = await PostAsync(client, "/v1/completions", """{"model":"teacher","prompt":"The sea","max_tokens":12,"temperature":0}""");
            var generated = QbbCommands.Run("generate", s_teacher, "--prompt", "The sea", "-n", "12", "--temperature", "0", "--json").Json["samples"]![0]!["text"]!.GetValue<string>();
            ("The sea" + completion["choices"]![0]!["text"]).ShouldBe(generated);
            var (_, chat) = await PostAsync(client, "/v1/chat/completions", """{"messages":[{"role":"user","content":"x"}]}""");
            $"{chat["error"]!["message"]}".ShouldBe("The model teacher has no chat template: use /v1/completions.");
            using var foreign = new HttpRequestMessage(HttpMethod.Get, "/health") { Headers = { Host = "evil.example" } };
            (await client.SendAsync(foreign)).StatusCode.ShouldBe(HttpStatusCode.BadRequest);
            (await client.GetStringAsync("/metrics")).ShouldContain("qbb_serve_generated_tokens_total");
        });
    }

    [Fact]
    public async Task Texts_on_a_CPU_need_no_libtorch()
    {
        using var folder = new TemporaryFolder();
        QbbCommands.Run("quantize", s_teacher, "-o", folder.File("q"), "--preset", "weights", "--bases", "2").Code.ShouldBe(0);
        (string, string)[] nowhere = [("LIBTORCH", folder.File("nowhere"))];
        string[] generate = ["generate", folder.File("q"), "--prompt", "The sea", "-n", "8", "--temperature", "0", "--device", "cpu", "--json"];
        var made = QbbProcess.RunWith(nowhere, generate);
        made.Code.ShouldBe(0, made.Error);
        var wide = QbbProcess.RunWith(nowhere, [.. generate, "--kv-cache", "8"]);
        wide.Code.ShouldBe(0, wide.Error);
        // Other types of calculation need it, and so the variable does keep it away.
        var other = QbbProcess.RunWith(nowhere, [.. generate, "--dtype", "bf16"]);
        other.Code.ShouldNotBe(0);
        (other.Out + other.Error).ShouldContain("libtorch");
        await ServedAsync(["serve", folder.File("q"), "--port", "0", "--threads", "1", "--device", "cpu", "--json"], async (_, client) =>
        {
            var (_, completion) = await PostAsync(client, "/v1/completions", """{"prompt":"The sea","max_tokens":8,"temperature":0}""");
            ("The sea" + completion["choices"]![0]!["text"]).ShouldBe($"{made.Json["samples"]![0]!["text"]}");
        }, nowhere);
    }

    [Fact]
    public void A_cache_of_8_bits_is_for_the_CPU()
    {
        var refused = QbbCommands.Run("generate", s_teacher, "--kv-cache", "8", "--dtype", "bf16", "--device", "cpu");
        refused.Code.ShouldBe(2);
        refused.Error.ShouldContain("--kv-cache is for the CPU in fp32");
        QbbCommands.Run("generate", s_teacher, "--kv-cache", "7").Error.ShouldContain("give 16 or 8");
    }

    [Fact]
    public async Task A_nested_model_may_answer_with_fewer_bases_under_load()
    {
        using var folder = new TemporaryFolder();
        QbbCommands.Run("quantize", s_teacher, "-o", folder.File("q"), "--preset", "weights", "--bases", "3", "--nested").Code.ShouldBe(0);
        await ServedAsync(["serve", folder.File("q"), "--port", "0", "--threads", "1", "--parallel", "1", "--degrade", "1", "--name", "nested", "--json"], async (_, client) =>
        {
            const string body = """{"model":"nested","prompt":"The sea","max_tokens":40,"temperature":0,"ignore_eos":true}""";
            var answers = (await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => PostAsync(client, "/v1/completions", body))))
                .Select(answer => (Bases: $"{answer.Json["system_fingerprint"]}", Text: $"{answer.Json["choices"]![0]!["text"]}")).ToList();
            // Who comes first waits for nobody, and behind the last there is nobody.
            foreach (var (bases, option) in new[] { ("bases-all", "3"), ("bases-1", "1") })
            {
                var expected = QbbCommands.Run("generate", folder.File("q"), "--bases", option, "--prompt", "The sea", "-n", "40", "--temperature", "0", "--json").Json["samples"]![0]!["text"]!.GetValue<string>();
                answers.ShouldContain(answer => answer.Bases == bases);
                answers.Where(answer => answer.Bases == bases).ShouldAllBe(answer => ("The sea" + answer.Text).StartsWith(expected, StringComparison.Ordinal));
            }
        });
    }

    [Fact]
    public async Task The_key_of_a_file_is_asked_for()
    {
        using var folder = new TemporaryFolder();
        await ServedAsync(["serve", s_teacher, "--port", "0", "--threads", "1", "--json"], async (_, client) =>
        {
            using var without = await client.GetAsync("/v1/models");
            without.StatusCode.ShouldBe(HttpStatusCode.Unauthorized);
            client.DefaultRequestHeaders.Authorization = new("Bearer", "secret");
            using var with = await client.GetAsync("/v1/models");
            with.StatusCode.ShouldBe(HttpStatusCode.OK);
        }, ("QBB_API_KEY_FILE", folder.Write("key", "secret\n")));
    }

    [Theory]
    [InlineData("http://0.0.0.0:0 can be reached from other machines, and there is no API key: set QBB_API_KEY or --api-key", "--urls", "http://0.0.0.0:0")]
    [InlineData("can be reached from other machines", "--urls", "http://localhost:0;http://*:0")]
    [InlineData("the API key is empty", "--urls", "http://0.0.0.0:0", "--api-key", "")]
    [InlineData("invalid URL 'localhost' in --urls", "--urls", "localhost")]
    [InlineData("invalid URL 'https://localhost:1' in --urls", "--urls", "https://localhost:1")]
    [InlineData("--urls and --port do not go together", "--urls", "http://localhost:0", "--port", "1")]
    [InlineData("--port is 70000", "--port", "70000")]
    [InlineData("--context is 257, but the model's context length is 256: use --context 256 or less", "--port", "0", "--context", "257")]
    [InlineData("--parallel is 0; it must be at least 1", "--port", "0", "--parallel", "0")]
    [InlineData("has no smaller models within: leave out --degrade, or quantize with --nested", "--port", "0", "--degrade", "2")]
    [InlineData("has no generation_config.json: leave out --use-generation-config", "--port", "0", "--use-generation-config")]
    public void What_cannot_be_served_is_refused_at_the_start(string problem, params string[] options)
    {
        var result = QbbCommands.Run(["serve", s_teacher, .. options]);
        result.Code.ShouldBe(2);
        result.Error.ShouldContain(problem);
    }

    private static async Task ServedAsync(string[] arguments, Func<JsonNode, HttpClient, Task> use, params (string, string)[] variables)
    {
        using var process = QbbProcess.StartWith(variables, arguments);
        try
        {
            var started = JsonNode.Parse((await process.StandardOutput.ReadLineAsync().WaitAsync(TimeSpan.FromMinutes(1)))!)!;
            using var client = new HttpClient { BaseAddress = new($"{started["url"]}") };
            await use(started, client);
            Process.Start("kill", ["-TERM", $"{process.Id}"]).WaitForExit();
            process.WaitForExit(30_000).ShouldBeTrue();
            process.ExitCode.ShouldBe(0, await process.StandardError.ReadToEndAsync());
        }
        finally
        {
            if (!process.HasExited)
                process.Kill();
        }
    }

    private static async Task<(int Status, JsonNode Json)> PostAsync(HttpClient client, string path, string body)
    {
        using var answer = await client.PostAsync(path, new StringContent(body, Encoding.UTF8, "application/json"));
        return ((int)answer.StatusCode, JsonNode.Parse(await answer.Content.ReadAsStringAsync())!);
    }
}
