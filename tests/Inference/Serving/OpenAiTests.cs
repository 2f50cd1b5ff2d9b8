using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.Extensions.DependencyInjection;
using Qbb.Inference.Decoding;
using Qbb.Inference.Serving;
using Qbb.Inference.Serving.OpenAi;

namespace Qbb.Inference.Tests.Serving;

/// <summary>OpenAI's routes over HTTP.</summary>
public class OpenAiTests(TinyModel model) : IClassFixture<TinyModel>
{
    private const string Completions = "/v1/completions";
    private const string Chat = "/v1/chat/completions";

    [Fact]
    public async Task A_completion_is_the_text_that_the_plain_generator_gives()
    {
        await using var server = await TestServer.StartAsync(model);
        var (status, json) = await server.PostAsync(Completions, """{"model":"tiny","prompt":"The sea","max_tokens":20,"temperature":0}""");
        status.ShouldBe(200, json.ToJsonString());
        var prompt = model.Tokenizer.Encode("The sea");
        var choice = json["choices"]!.AsArray().ShouldHaveSingleItem()!;
        choice["text"]!.GetValue<string>().ShouldBe(TextOf(prompt, model.Alone(prompt, 20)));
        choice["finish_reason"]!.GetValue<string>().ShouldBe("length");
        choice.AsObject()["logprobs"].ShouldBeNull();
        ($"{json["object"]}", $"{json["model"]}", $"{json["id"]}"[..5]).ShouldBe(("text_completion", "tiny", "cmpl-"));
        json["usage"]!.ToJsonString().ShouldBe($$$"""{"prompt_tokens":{{{prompt.Length}}},"completion_tokens":20,"total_tokens":{{{prompt.Length + 20}}},"prompt_tokens_details":{"cached_tokens":0}}""");
    }

    [Fact]
    public async Task Prompts_may_be_several_texts_or_token_ids_and_are_echoed()
    {
        await using var server = await TestServer.StartAsync(model);
        var ids = model.Tokenizer.Encode("The sea");
        var (_, one) = await server.PostAsync(Completions, $$"""{"prompt":[{{string.Join(',', ids)}}],"max_tokens":8,"temperature":0}""");
        var (_, two) = await server.PostAsync(Completions, """{"prompt":["The sea","The hills"],"max_tokens":8,"temperature":0,"echo":true,"n":2,"best_of":2,"seed":3}""");
        var texts = two["choices"]!.AsArray().Select(choice => $"{choice!["text"]}").ToList();
        texts.Count.ShouldBe(4);
        texts[0].ShouldBe("The sea" + one["choices"]![0]!["text"]);
        texts[1].ShouldBe(texts[0]);
        texts[2].ShouldStartWith("The hills");
        two["choices"]!.AsArray().Select(choice => (int)choice!["index"]!).ShouldBe([0, 1, 2, 3]);
    }

    [Fact]
    public async Task A_stream_has_the_text_in_parts_then_the_usage_and_DONE()
    {
        await using var server = await TestServer.StartAsync(model);
        const string body = "\"prompt\":\"The sea\",\"max_tokens\":40,\"temperature\":0.8,\"seed\":4";
        var (_, whole) = await server.PostAsync(Completions, $"{{{body}}}");
        var events = await server.StreamAsync(Completions, $$"""{{{body}},"stream":true,"stream_options":{"include_usage":true} }""");
        events[^1].ShouldBeNull();
        events[^2]!["choices"]!.AsArray().ShouldBeEmpty();
        events[^2]!["usage"]!["completion_tokens"]!.GetValue<int>().ShouldBe(whole["usage"]!["completion_tokens"]!.GetValue<int>());
        var parts = events[..^2];
        parts.Count.ShouldBeGreaterThan(5);
        string.Concat(parts.Select(part => $"{part!["choices"]![0]!["text"]}")).ShouldBe($"{whole["choices"]![0]!["text"]}");
        parts.ShouldAllBe(part => part!.AsObject().ContainsKey("usage") && part["usage"] == null);
        parts[..^1].ShouldAllBe(part => part!["choices"]![0]!["finish_reason"] == null);
        $"{parts[^1]!["choices"]![0]!["finish_reason"]}".ShouldBe($"{whole["choices"]![0]!["finish_reason"]}");
        events.SkipLast(1).Select(part => $"{part!["id"]}").Distinct().ShouldHaveSingleItem();
        (await server.StreamAsync(Completions, $$"""{{{body}},"stream":true}""")).SkipLast(1).ShouldAllBe(part => !part!.AsObject().ContainsKey("usage"));
    }

    [Fact]
    public async Task A_chat_goes_through_the_template_and_streams_deltas()
    {
        await using var server = await TestServer.StartAsync(model);
        const string body = """
            "messages":[{"role":"developer","content":"be brief"},{"role":"user","content":[{"type":"text","text":"The "},{"type":"text","text":"sea"}]}],"temperature":0,"n":2
            """;
        var (status, whole) = await server.PostAsync(Chat, $$"""{{{body}},"max_completion_tokens":16}""");
        status.ShouldBe(200, whole.ToJsonString());
        var prompt = model.Tokenizer.Encode("<s>system: be brief\nuser: The sea\nassistant:", addSpecialTokens: false);
        var expected = TextOf(prompt, model.Alone(prompt, 16));
        foreach (var choice in whole["choices"]!.AsArray())
        {
            ($"{choice!["message"]!["role"]}", $"{choice["message"]!["content"]}").ShouldBe(("assistant", expected));
            $"{choice["finish_reason"]}".ShouldBe("length");
        }
        ($"{whole["object"]}", (int)whole["usage"]!["prompt_tokens"]!, (int)whole["usage"]!["completion_tokens"]!).ShouldBe(("chat.completion", prompt.Length, 32));

        var events = await server.StreamAsync(Chat, $$"""{{{body}},"max_tokens":16,"stream":true}""");
        events[^1].ShouldBeNull();
        var parts = events.SkipLast(1).Select(part => part!["choices"]!.AsArray().ShouldHaveSingleItem()!).ToList();
        parts[0]["delta"]!.ToJsonString().ShouldBe("""{"role":"assistant","content":""}""");
        foreach (var index in new[] { 0, 1 })
        {
            var own = parts.Where(part => (int)part["index"]! == index).ToList();
            string.Concat(own.Select(part => $"{part["delta"]!["content"]}")).ShouldBe(expected);
            own[^1]["delta"]!.AsObject().ShouldBeEmpty();
            $"{own[^1]["finish_reason"]}".ShouldBe("length");
        }
        events[0]!["object"]!.GetValue<string>().ShouldBe("chat.completion.chunk");
    }

    [Fact]
    public async Task A_stop_string_ends_the_text_and_appears_in_no_part()
    {
        await using var server = await TestServer.StartAsync(model);
        const string body = "\"prompt\":\"The sea\",\"max_tokens\":60,\"temperature\":1,\"seed\":6,\"logprobs\":0";
        var whole = $"{(await server.PostAsync(Completions, $"{{{body}}}")).Json["choices"]![0]!["text"]}";
        // Two neighbours of plain letters, so that the stop string is split over tokens.
        var place = Enumerable.Range(8, whole.Length - 10).First(k => whole[k..(k + 2)].All(char.IsAsciiLetter) && whole.IndexOf(whole[k..(k + 2)], StringComparison.Ordinal) == k);
        var stop = whole[place..(place + 2)];
        var (_, stopped) = await server.PostAsync(Completions, $$"""{{{body}},"stop":["never seen","{{stop}}"]}""");
        $"{stopped["choices"]![0]!["text"]}".ShouldBe(whole[..place]);
        $"{stopped["choices"]![0]!["finish_reason"]}".ShouldBe("stop");
        stopped["choices"]![0]!["logprobs"]!["text_offset"]!.AsArray().ShouldAllBe(offset => (int)offset! < place);
        var parts = (await server.StreamAsync(Completions, $$"""{{{body}},"stream":true,"stop":"{{stop}}"}""")).SkipLast(1).Select(part => $"{part!["choices"]![0]!["text"]}").ToList();
        string.Concat(parts).ShouldBe(whole[..place]);
    }

    [Fact]
    public async Task Logprobs_are_the_models_in_the_shape_of_either_route()
    {
        await using var server = await TestServer.StartAsync(model);
        var prompt = model.Tokenizer.Encode("The sea");
        var tokens = model.Alone(prompt, 6);
        var expected = LogSoftmax(prompt)[tokens[0]];
        var (_, completion) = await server.PostAsync(Completions, """{"prompt":"The sea","max_tokens":6,"temperature":0,"logprobs":3}""");
        var known = completion["choices"]![0]!["logprobs"]!;
        known["tokens"]!.AsArray().Count.ShouldBe(6);
        known["token_logprobs"]![0]!.GetValue<double>().ShouldBe(expected, 1e-4);
        known["top_logprobs"]!.AsArray().ShouldAllBe(top => top!.AsObject().Count == 3);
        known["text_offset"]![0]!.GetValue<int>().ShouldBe(0);

        var (_, chat) = await server.PostAsync(Chat, """{"messages":[{"role":"user","content":"x"}],"max_tokens":6,"temperature":0,"logprobs":true,"top_logprobs":2}""");
        var content = chat["choices"]![0]!["logprobs"]!["content"]!.AsArray();
        content.Count.ShouldBe(6);
        foreach (var token in content)
        {
            var top = token!["top_logprobs"]!.AsArray();
            top.Count.ShouldBe(2);
            $"{top[0]!["token"]}".ShouldBe($"{token["token"]}");
            top[0]!["logprob"]!.GetValue<double>().ShouldBe(token["logprob"]!.GetValue<double>());
            top[1]!["logprob"]!.GetValue<double>().ShouldBeLessThanOrEqualTo(token["logprob"]!.GetValue<double>());
        }
        // The bytes of all tokens are those of the text.
        Encoding.UTF8.GetString([.. content.SelectMany(token => token!["bytes"]!.AsArray().Select(value => (byte)(int)value!))]).ShouldBe($"{chat["choices"]![0]!["message"]!["content"]}");
        var events = await server.StreamAsync(Chat, """{"messages":[{"role":"user","content":"x"}],"max_tokens":6,"temperature":0,"logprobs":true,"stream":true}""");
        events.SkipLast(1).Sum(part => part!["choices"]![0]!["logprobs"]?["content"]?.AsArray().Count ?? 0).ShouldBe(6);
    }

    [Fact]
    public async Task The_models_own_settings_apply_where_they_are_wanted()
    {
        await using var plain = await TestServer.StartAsync(model);
        await using var advised = await TestServer.StartAsync(model, useGenerationConfig: true);
        const string body = """{"prompt":"The sea","max_tokens":30,"seed":9}""";
        var usual = $"{(await plain.PostAsync(Completions, body)).Json["choices"]![0]!["text"]}";
        var own = $"{(await advised.PostAsync(Completions, body)).Json["choices"]![0]!["text"]}";
        own.ShouldNotBe(usual);
        var (_, spelled) = await plain.PostAsync(Completions, """{"prompt":"The sea","max_tokens":30,"seed":9,"temperature":0.5,"top_k":7}""");
        own.ShouldBe($"{spelled["choices"]![0]!["text"]}");
    }

    [Theory]
    [InlineData(Completions, """{"prompt":"a","temperature":3}""", "temperature", "temperature is 3; it must be 0 to 2.")]
    [InlineData(Completions, """{"prompt":"a","temperature":"hot"}""", "temperature", "temperature must be a number.")]
    [InlineData(Completions, """{"prompt":"a","max_tokens":0}""", "max_tokens", "max_tokens is 0; it must be 1 to 2147483647.")]
    [InlineData(Completions, """{"prompt":"a","max_tokens":1.5}""", "max_tokens", "max_tokens must be an integer.")]
    [InlineData(Completions, """{"max_tokens":1}""", "prompt", "prompt is missing.")]
    [InlineData(Completions, """{"prompt":{"a":1}}""", "prompt", "prompt must be a string, a list of token ids, or a list of these.")]
    [InlineData(Completions, """{"prompt":[1,9999]}""", "prompt", "prompt has a token outside the vocabulary of 319.")]
    [InlineData(Completions, """{"prompt":"a","max_tokens":500}""", "prompt", "This model's maximum context length is 192 tokens. However, you requested 502 tokens (2 in the prompt, 500 in the completion). Please reduce the length of the prompt or completion.")]
    [InlineData(Completions, """{"prompt":"a","stop":["1","2","3","4","5"]}""", "stop", "stop has 5 strings; at most 4 are possible.")]
    [InlineData(Completions, """{"prompt":"a","stop":""}""", "stop", "stop has an empty string.")]
    [InlineData(Completions, """{"prompt":"a","suffix":"b"}""", "suffix", "suffix is not supported by this server.")]
    [InlineData(Completions, """{"prompt":"a","n":2,"best_of":3}""", "best_of", "best_of is not supported by this server.")]
    [InlineData(Completions, """{"prompt":"a","n":9}""", "n", "n is 9; this server decodes 8 sequences at the same time.")]
    [InlineData(Completions, """{"prompt":"a","logit_bias":{"x":1}}""", "logit_bias", "logit_bias: 'x' is not a token id; ids are 0 to 318.")]
    [InlineData(Completions, """{"prompt":"a","stream_options":{"include_usage":true} }""", "stream_options", "stream_options needs stream to be true.")]
    [InlineData(Completions, """{"prompt":"a","temprature":1}""", "temprature", "Unknown field temprature.")]
    [InlineData(Chat, """{"messages":[]}""", "messages", "messages must be a list of at least one message.")]
    [InlineData(Chat, """{"messages":[{"role":"robot","content":"a"}]}""", "messages[0].role", "messages[0].role must be system, developer, user, assistant or tool.")]
    [InlineData(Chat, """{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]}""", "messages[0].content", "messages[0].content may have parts of text only.")]
    [InlineData(Chat, """{"messages":[{"role":"user","content":"a"}],"tools":[{"type":"function"}]}""", "tools", "tools is not supported by this server.")]
    [InlineData(Chat, """{"messages":[{"role":"user","content":"a"}],"response_format":{"type":"json_object"}}""", "response_format", "response_format is not supported by this server.")]
    [InlineData(Chat, """{"messages":[{"role":"user","content":"a"}],"top_logprobs":2}""", "top_logprobs", "top_logprobs needs logprobs to be true.")]
    public async Task What_is_wrong_is_told_by_name(string path, string body, string parameter, string message)
    {
        await using var server = await TestServer.StartAsync(model);
        var (status, json) = await server.PostAsync(path, body);
        status.ShouldBe(400);
        ($"{json["error"]!["param"]}", $"{json["error"]!["message"]}", $"{json["error"]!["type"]}").ShouldBe((parameter, message, "invalid_request_error"));
    }

    [Fact]
    public async Task Other_failures_have_their_status_in_the_same_shape()
    {
        await using var server = await TestServer.StartAsync(model, new() { Context = TinyModel.Context, Body = 1000 });
        await Failed(404, "model_not_found", await server.Client.PostAsync(Completions, TestServer.Json("""{"model":"other","prompt":"a"}""")));
        await Failed(404, "unknown_url", await server.Client.GetAsync("/v1/embeddings"));
        await Failed(404, "model_not_found", await server.Client.GetAsync("/v1/models/other"));
        await Failed(405, "unknown_url", await server.Client.GetAsync(Completions));
        await Failed(400, "invalid_json", await server.Client.PostAsync(Completions, TestServer.Json("{")));
        await Failed(400, "invalid_json", await server.Client.PostAsync(Completions, TestServer.Json("""{"prompt":"a","prompt":"b"}""")));
        await Failed(415, "", await server.Client.PostAsync(Completions, new StringContent("{}")));
        await Failed(413, "request_too_large", await server.Client.PostAsync(Completions, TestServer.Json($$"""{"prompt":"{{new string('a', 1000)}}"}""")));
        // A page of another site that reaches this machine by a name of its own.
        using var foreign = new HttpRequestMessage(HttpMethod.Get, "/v1/models") { Headers = { Host = "evil.example" } };
        (await server.Client.SendAsync(foreign)).StatusCode.ShouldBe(HttpStatusCode.BadRequest);

        static async Task Failed(int status, string code, HttpResponseMessage answer)
        {
            using (answer)
            {
                ((int)answer.StatusCode).ShouldBe(status);
                var error = JsonNode.Parse(await answer.Content.ReadAsStringAsync())!["error"]!;
                $"{error["code"]}".ShouldBe(code);
                $"{error["message"]}".ShouldNotBeEmpty();
            }
        }
    }

    [Fact]
    public async Task Without_the_key_only_the_health_is_told()
    {
        await using var server = await TestServer.StartAsync(model, key: "secret");
        foreach (var header in new[] { null, "Bearer wrong", "Bearer secret2", "Basic secret" })
        {
            server.Client.DefaultRequestHeaders.Authorization = header is null ? null : AuthenticationHeaderValue.Parse(header);
            foreach (var path in new[] { "/v1/models", "/metrics", "/nothing" })
            {
                using var refused = await server.Client.GetAsync(path);
                refused.StatusCode.ShouldBe(HttpStatusCode.Unauthorized);
                JsonNode.Parse(await refused.Content.ReadAsStringAsync())!["error"]!["code"]!.GetValue<string>().ShouldBe("invalid_api_key");
            }
            (await server.Client.GetStringAsync("/health")).ShouldBe("""{"status":"ok"}""");
        }
        server.Client.DefaultRequestHeaders.Authorization = new("Bearer", "secret");
        JsonNode.Parse(await server.Client.GetStringAsync("/v1/models"))!["data"]![0]!["id"]!.GetValue<string>().ShouldBe("tiny");
        JsonNode.Parse(await server.Client.GetStringAsync("/v1/models/tiny"))!["object"]!.GetValue<string>().ShouldBe("model");
    }

    [Fact]
    public async Task Metrics_count_tokens_and_requests()
    {
        await using var server = await TestServer.StartAsync(model);
        await server.PostAsync(Completions, """{"prompt":"The sea","max_tokens":5,"temperature":0,"ignore_eos":true}""");
        var metrics = await server.Client.GetStringAsync("/metrics");
        foreach (var name in new[] { "qbb_serve_generated_tokens_total", "qbb_serve_prompt_tokens_total", "qbb_serve_active", "qbb_serve_queued", "qbb_serve_tokens_per_second", "qbb_serve_first_token_seconds_bucket", "qbb_serve_requests_total" })
            metrics.ShouldContain(name);
        // Those of other tests in this process are among them.
        var generated = metrics.Split('\n').Single(line => line.StartsWith("qbb_serve_generated_tokens_total", StringComparison.Ordinal));
        int.Parse(generated.Split(' ')[^1]).ShouldBeGreaterThanOrEqualTo(5);
    }

    [Fact]
    public async Task A_full_queue_answers_429_with_a_time_to_wait()
    {
        var gate = new GatedDecoder(new TorchDecoder(model.Model));
        await using var server = await TestServer.StartAsync(model, new() { Context = TinyModel.Context, Parallel = 1, Queue = 0 }, decoder: gate);
        var first = server.PostAsync(Completions, """{"prompt":"The sea","max_tokens":5}""");
        await gate.EnteredAsync();
        using var refused = await server.Client.PostAsync(Completions, TestServer.Json("""{"prompt":"The sea"}"""));
        refused.StatusCode.ShouldBe(HttpStatusCode.TooManyRequests);
        refused.Headers.RetryAfter!.Delta!.Value.ShouldBeGreaterThanOrEqualTo(TimeSpan.FromSeconds(1));
        JsonNode.Parse(await refused.Content.ReadAsStringAsync())!["error"]!["code"]!.GetValue<string>().ShouldBe("rate_limit_exceeded");
        gate.Open();
        (await first).Status.ShouldBe(200);
    }

    [Fact]
    public async Task An_answer_says_which_bases_gave_it()
    {
        var gate = new GatedDecoder(new TorchDecoder(model.Model));
        await using var server = await TestServer.StartAsync(model, new() { Context = TinyModel.Context, Parallel = 1 }, decoder: gate, degraded: new TorchDecoder(model.Model));
        const string body = """{"prompt":"The sea","max_tokens":3}""";
        var first = server.PostAsync(Completions, body);
        await gate.EnteredAsync();
        var others = new[] { server.PostAsync(Completions, body), server.PostAsync(Completions, body) };
        SpinWait.SpinUntil(() => server.Meter.Queued == 2, TimeSpan.FromSeconds(30)).ShouldBeTrue();
        gate.Open();
        $"{(await first).Json["system_fingerprint"]}".ShouldBe("bases-all");
        (await Task.WhenAll(others)).Select(answer => $"{answer.Json["system_fingerprint"]}").Order().ShouldBe(["bases-2", "bases-all"]);
        var events = await server.StreamAsync(Completions, """{"prompt":"The sea","max_tokens":3,"stream":true,"degrade":false}""");
        events.SkipLast(1).ShouldAllBe(part => $"{part!["system_fingerprint"]}" == "bases-all");
    }

    [Fact]
    public async Task A_model_that_another_replaces_ends_its_requests_and_is_released()
    {
        var gate = new GatedDecoder(new TorchDecoder(model.Model));
        await using var server = await TestServer.StartAsync(model, new() { Context = TinyModel.Context, Parallel = 1 }, decoder: gate);
        const string body = """{"prompt":"The sea","max_tokens":3,"temperature":0}""";
        var running = server.PostAsync(Completions, body);
        await gate.EnteredAsync();
        var queued = server.PostAsync(Completions, body);
        SpinWait.SpinUntil(() => server.Meter.Queued == 1, TimeSpan.FromSeconds(30)).ShouldBeTrue();
        var released = new TaskCompletionSource();
        var models = server.App.Services.GetRequiredService<ServedModels>();
        var limits = new ServingLimits { Context = TinyModel.Context };
        models.Serve(model.Served(limits, version: 2), new TorchDecoder(model.Model), owner: new Owner(released.SetResult));
        // The new model answers while the old one is in the middle of a step.
        (await server.PostAsync(Completions, body)).Status.ShouldBe(200);
        JsonNode.Parse(await server.Client.GetStringAsync("/v1/models"))!["data"]![0]!["version"]!.GetValue<int>().ShouldBe(2);
        server.Meter.Queued.ShouldBe(1);
        gate.Open();
        $"{(await running).Json["choices"]}".ShouldBe($"{(await queued).Json["choices"]}");
        released.Task.IsCompleted.ShouldBeFalse();
        models.Serve(model.Served(limits, version: 3), new TorchDecoder(model.Model));
        await released.Task.WaitAsync(TimeSpan.FromSeconds(30));
        (await server.PostAsync(Completions, body)).Status.ShouldBe(200);
    }

    private sealed class Owner(Action released) : IDisposable
    {
        public void Dispose() => released();
    }

    [Fact]
    public async Task A_client_that_goes_frees_its_place()
    {
        var gate = new GatedDecoder(new TorchDecoder(model.Model));
        await using var server = await TestServer.StartAsync(model, new() { Context = TinyModel.Context, Parallel = 1, Queue = 1 }, decoder: gate);
        using var leaves = new CancellationTokenSource();
        // The answer begins with the first text, and a token may be a part of a letter.
        var letter = model.Tokenizer.Encode("a")[^1];
        var body = TestServer.Json($$$"""{"prompt":"The sea","max_tokens":150,"stream":true,"ignore_eos":true,"logit_bias":{"{{{letter}}}":100} }""");
        using var request = new HttpRequestMessage(HttpMethod.Post, Completions) { Content = body };
        var streaming = server.Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, leaves.Token);
        await gate.EnteredAsync();
        await gate.NextAsync();
        var answer = await streaming;
        var waiting = server.PostAsync(Completions, """{"prompt":"The hills","max_tokens":5,"temperature":0}""");
        await using var stream = await answer.Content.ReadAsStreamAsync();
        var bytes = new byte[16];
        await stream.ReadExactlyAsync(bytes);
        var reading = stream.CopyToAsync(Stream.Null, leaves.Token);
        leaves.Cancel();
        await Should.ThrowAsync<OperationCanceledException>(() => reading);
        await server.Gone.Task.WaitAsync(TimeSpan.FromSeconds(30));
        gate.Open();
        var (status, json) = await waiting;
        status.ShouldBe(200, json.ToJsonString());
        // Not the 150 of the first.
        gate.Sizes.Count.ShouldBeLessThan(10);
    }

    [Fact]
    public async Task A_failure_is_told_with_its_status_or_in_the_stream()
    {
        var gate = new GatedDecoder(new TorchDecoder(model.Model));
        await using var server = await TestServer.StartAsync(model, decoder: gate);
        var letter = model.Tokenizer.Encode("a")[^1];
        var streaming = server.StreamAsync(Completions, $$$"""{"prompt":"The sea","max_tokens":10,"stream":true,"logit_bias":{"{{{letter}}}":100} }""");
        await gate.EnteredAsync();
        await gate.NextAsync();
        gate.Fault = new InvalidInputException("the model gave NaN as the logit of token 3");
        gate.Permit();
        var events = await streaming;
        events.Count.ShouldBe(2);
        $"{events[^1]!["error"]!["message"]}".ShouldBe("The model gave NaN as the logit of token 3.");
        gate.Fault = new InvalidOperationException("a secret of the process");
        gate.Open();
        var (status, json) = await server.PostAsync(Completions, """{"prompt":"The sea","max_tokens":1}""");
        (status, $"{json["error"]!["message"]}", $"{json["error"]!["type"]}").ShouldBe((500, "The server failed; its log says why.", "server_error"));
    }

    [Fact]
    public async Task Streams_end_before_the_server_stops()
    {
        var gate = new GatedDecoder(new TorchDecoder(model.Model));
        await using var server = await TestServer.StartAsync(model, decoder: gate);
        var streaming = server.StreamAsync(Completions, """{"prompt":"The sea","max_tokens":10,"temperature":0,"stream":true,"ignore_eos":true}""");
        await gate.EnteredAsync();
        await gate.NextAsync();
        var stopping = server.App.StopAsync();
        gate.Open();
        var events = await streaming;
        events[^1].ShouldBeNull();
        $"{events[^2]!["choices"]![0]!["finish_reason"]}".ShouldBe("length");
        await stopping;
    }

    private string TextOf(int[] prompt, int[] tokens)
    {
        var text = new StreamedText(model.Tokenizer, prompt, [], _ => { });
        text.AddRange([.. tokens.TakeWhile(token => token != 1)]);
        return text.Text;
    }

    private double[] LogSoftmax(int[] prompt)
    {
        using var decoder = new TorchDecoder(model.Model);
        using var sequence = decoder.Begin();
        var logits = new float[model.Config.VocabularySize];
        decoder.Step([new(sequence, prompt)], logits);
        var total = Math.Log(logits.Sum(logit => Math.Exp(logit)));
        return [.. logits.Select(logit => logit - total)];
    }
}
