using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Qbb.Checkpoints;
using Qbb.Hosting;
using Qbb.Hosting.Telemetry;
using Qbb.Inference.Decoding;
using Qbb.Inference.Serving;
using Qbb.Inference.Serving.OpenAi;
using Qbb.Models.Decoder;
using Qbb.Models.Generation;
using Qbb.Models.Tokenizers;
using Qbb.Tests;

namespace Qbb.Inference.Tests.Serving;

/// <summary>A random LLaMA with a small tokenizer and a chat template, as a folder.</summary>
public sealed class TinyModel : IDisposable
{
    public const int Context = 192;

    private const ulong Seed = 21;

    private const string Text = "The sea was blue and the hills were green, so they walked on to the house by the water and said what they thought of it.\n";

    private readonly TemporaryFolder _folder = new();

    public TinyModel()
    {
        Tokenizer = BpeTrainer.Train([string.Concat(Enumerable.Repeat(Text, 20)), "user assistant system"], new(384) { SpecialTokens = ["<s>", "</s>"], BeginOfSequence = "<s>" });
        Config = DecoderConfig.FromJson(JsonNode.Parse($$"""
            {"architectures":["LlamaForCausalLM"],"model_type":"llama","vocab_size":{{Tokenizer.VocabularySize}},"hidden_size":64,"intermediate_size":96,"num_hidden_layers":2,"num_attention_heads":4,
            "num_key_value_heads":2,"hidden_act":"silu","max_position_embeddings":{{Context}},"rms_norm_eps":1e-5,"tie_word_embeddings":false,"bos_token_id":0,"eos_token_id":1}
            """)!.AsObject());
        Model = Transformer.Create(Config, Seed);
        Model.Save(_folder.Path);
        Tokenizer.Save(_folder.File("tokenizer.json"));
        _folder.Write("tokenizer_config.json", """{"bos_token":"<s>","eos_token":"</s>"}""");
        _folder.Write("generation_config.json", """{"temperature":0.5,"top_k":7}""");
        _folder.Write("chat_template.jinja", "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:");
    }

    public Tokenizer Tokenizer { get; }

    public DecoderConfig Config { get; }

    public Transformer Model { get; }

    /// <summary>The decoders of the same weights.</summary>
    internal IDecoder Decoder(string kind) => kind == "cpu" ? new CpuDecoder(Config, new RandomCheckpoint(Config, Seed), options: new() { Threads = 2 }) : new TorchDecoder(Model);

    internal ServedModel Served(ServingLimits limits, bool useGenerationConfig = false, int? degradedBases = null, int? version = null)
    {
        using var source = ModelSource.Open(_folder.Path);
        return ServedModel.Of(source, Tokenizer, "tiny", Config.VocabularySize, limits, useGenerationConfig, degradedBases, version);
    }

    /// <summary>The new tokens of a prompt alone, greedily, by the plain generator.</summary>
    internal int[] Alone(int[] prompt, int tokens, string kind = "torch")
    {
        var options = new GenerationOptions { Temperature = 0, MaxTokens = tokens };
        using var decoder = Decoder(kind);
        return [.. (kind == "cpu" ? new SequenceGenerator(decoder).Generate([prompt], [0], options) : new TokenGenerator(Model).Generate([prompt], [0], options))[0].Tokens];
    }

    /// <summary>A prompt of random tokens.</summary>
    internal int[] Prompt(Random random, int length) => [0, .. Enumerable.Range(0, length - 1).Select(_ => random.Next(2, Config.VocabularySize))];

    public void Dispose()
    {
        Model.Dispose();
        _folder.Dispose();
    }
}

/// <summary>A decoder whose steps wait for permission, and are counted.</summary>
internal sealed class GatedDecoder(IDecoder inner) : IDecoder
{
    private readonly SemaphoreSlim _permits = new(0);
    private readonly SemaphoreSlim _entered = new(0);
    private volatile bool _open;

    public DecoderConfig Config => inner.Config;

    /// <summary>The sequences of each step so far.</summary>
    public List<int> Sizes { get; } = [];

    /// <summary>Thrown by the next step.</summary>
    public Exception? Fault { get; set; }

    public IDecoderSequence Begin() => inner.Begin();

    public void Step(IReadOnlyList<DecoderInput> inputs, Span<float> logits)
    {
        lock (Sizes)
            Sizes.Add(inputs.Count);
        _entered.Release();
        // A failed test must not wait for ever when it is taken down.
        if (!_open && !_permits.Wait(TimeSpan.FromSeconds(30)))
            throw new TimeoutException();
        if (Fault is { } fault)
        {
            Fault = null;
            throw fault;
        }
        inner.Step(inputs, logits);
    }

    /// <summary>Waits until a step wants to begin.</summary>
    public async Task EnteredAsync() => (await _entered.WaitAsync(TimeSpan.FromSeconds(30))).ShouldBeTrue();

    /// <summary>Lets it.</summary>
    public void Permit() => _permits.Release();

    /// <summary>The same, and waits for the next.</summary>
    public Task NextAsync()
    {
        Permit();
        return EnteredAsync();
    }

    /// <summary>Lets it and all that follow.</summary>
    public void Open()
    {
        _open = true;
        _permits.Release();
    }

    public void Dispose() => inner.Dispose();
}

/// <summary>A server on a free port.</summary>
internal sealed class TestServer : IAsyncDisposable
{
    private readonly WebApplication _app;

    private TestServer(TinyModel model, ServingLimits limits, string? key, IDecoder? decoder, bool useGenerationConfig, IDecoder? degraded)
    {
        _app = ServiceHost.Build(["--Logging:LogLevel:Default=None"], "serve", "http://127.0.0.1:0", builder =>
        {
            builder.AddMetricsRoute();
            builder.Services.AddServing(model.Served(limits, useGenerationConfig, degraded is null ? null : 2), decoder ?? new TorchDecoder(model.Model), key, degraded);
        }, app =>
        {
            app.Use((http, next) =>
            {
                http.RequestAborted.Register(Gone.SetResult);
                return next(http);
            });
            app.MapServing();
            app.MapMetrics();
        }, hasBus: false);
    }

    public string Address => _app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First();

    public HttpClient Client { get; } = new();

    public WebApplication App => _app;

    public ServingMeter Meter => _app.Services.GetRequiredService<ServingMeter>();

    /// <summary>Ends when the server has noticed that a client went.</summary>
    public TaskCompletionSource Gone { get; } = new();

    public static async Task<TestServer> StartAsync(TinyModel model, ServingLimits? limits = null, string? key = null, IDecoder? decoder = null, bool useGenerationConfig = false, IDecoder? degraded = null)
    {
        var server = new TestServer(model, limits ?? new() { Context = TinyModel.Context }, key, decoder, useGenerationConfig, degraded);
        await ServiceHost.StartAsync(server._app);
        server.Client.BaseAddress = new(server.Address);
        return server;
    }

    public async Task<(int Status, JsonNode Json)> PostAsync(string path, string body, CancellationToken cancellation = default)
    {
        using var answer = await Client.PostAsync(path, Json(body), cancellation);
        return ((int)answer.StatusCode, JsonNode.Parse(await answer.Content.ReadAsStringAsync(cancellation))!);
    }

    /// <summary>The events of a streamed answer, [DONE] as a null at the end.</summary>
    public async Task<List<JsonNode?>> StreamAsync(string path, string body)
    {
        using var answer = await Client.PostAsync(path, Json(body));
        answer.Content.Headers.ContentType!.MediaType.ShouldBe("text/event-stream", await answer.Content.ReadAsStringAsync());
        var events = (await answer.Content.ReadAsStringAsync()).Split("\n\n", StringSplitOptions.RemoveEmptyEntries);
        return [.. events.Select(line => line == "data: [DONE]" ? null : JsonNode.Parse(line["data: ".Length..]))];
    }

    public static StringContent Json(string body) => new(body, System.Text.Encoding.UTF8, "application/json");

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await _app.DisposeAsync();
    }
}
