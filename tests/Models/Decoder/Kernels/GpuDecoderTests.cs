using System.Text.Json.Nodes;
using Qbb.Models.Decoder;

namespace Qbb.Models.Tests.Decoder.Kernels;

/// <summary>The fused kernels of the decoder against the plain forms: the same weights on the GPU, and on the CPU in f64.</summary>
public class GpuDecoderTests(ITestOutputHelper output)
{
    private const ulong Seed = 4;

    private const string Sizes =
        """
        "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 104, "rms_norm_eps": 1e-6, "max_position_embeddings": 64
        """;

    private static readonly Dictionary<string, string> s_models = new()
    {
        ["heads of their own"] = $$"""{ "model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "hidden_act": "silu", {{Sizes}} }""",
        ["grouped heads"] = $$"""{ "model_type": "llama", "hidden_size": 96, "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 32, "hidden_act": "silu", {{Sizes}} }""",
        ["heads of 128"] = $$"""{ "model_type": "llama", "hidden_size": 128, "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 128, "hidden_act": "silu", {{Sizes}} }""",
        ["window, norms of heads"] = $$"""
            { "model_type": "qwen3", "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64, "use_sliding_window": true,
              "sliding_window": 5, "layer_types": ["sliding_attention", "full_attention"], "hidden_act": "silu", {{Sizes}} }
            """,
        ["fused projections"] = $$"""
            { "model_type": "phi3", "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_act": "silu",
              "original_max_position_embeddings": 64, {{Sizes}} }
            """,
        ["norms plus one"] = $$"""
            { "model_type": "gemma", "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 32,
              "hidden_activation": "gelu_pytorch_tanh", {{Sizes}} }
            """,
    };

    public static IEnumerable<TheoryDataRow<string, int, ScalarType, double>> Rows =>
        from name in s_models.Keys
        from batch in new[] { 2, 256 }
        from type in new[] { (ScalarType.Float32, 1e-4), (ScalarType.BFloat16, 0.05) }
        select new TheoryDataRow<string, int, ScalarType, double>(name, batch, type.Item1, type.Item2);

    [Theory]
    [MemberData(nameof(Rows))]
    public void Logits_token_by_token_are_those_of_the_plain_form(string name, int batch, ScalarType type, double tolerance)
    {
        RequireGpu();
        const int total = 14;
        using var scope = torch.NewDisposeScope();
        using var off = torch.no_grad();
        using var plain = Transformer.Create(Config(name), Seed, dtype: ScalarType.Float64);
        using var fused = Transformer.Create(Config(name), Seed, torch.CUDA, type);
        var ids = torch.tensor([.. Enumerable.Range(0, batch * total).Select(i => (long)(i * 29 % 104))], batch, total);
        var expected = plain.forward(ids);
        var whole = fused.forward(ids).to(torch.CPU).to(ScalarType.Float64);
        using var cache = new KvCache(fused.Config, batch, total, torch.CUDA, type);
        var parts = new List<Tensor>();
        foreach (var count in new[] { 3, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1 })
            parts.Add(fused.forward(ids.narrow(1, cache.Length, count), cache).to(torch.CPU).to(ScalarType.Float64));
        var size = expected.abs().max().ToDouble();
        var (ofWhole, ofParts) = (Worst(whole), Worst(torch.cat([.. parts], 1)));
        output.WriteLine($"seed {Seed}, relative to {size:g3}: whole {ofWhole:e2}, token by token {ofParts:e2}, allowed {tolerance:e1}");
        Math.Max(ofWhole, ofParts).ShouldBeLessThan(tolerance);

        double Worst(Tensor actual) => (actual - expected).abs().max().ToDouble() / size;
    }

    [Theory]
    [InlineData("heads of their own"), InlineData("grouped heads"), InlineData("window, norms of heads"), InlineData("fused projections")]
    [InlineData("norms plus one")]
    public void Gradients_are_those_of_the_plain_form(string name)
    {
        RequireGpu();
        const double tolerance = 1e-4;
        using var scope = torch.NewDisposeScope();
        using var generator = new Generator(Seed);
        var config = Config(name);
        var x = torch.randn([3, 9, config.HiddenSize], ScalarType.Float64, generator: generator);
        var probe = torch.randn([3, 9, config.HiddenSize], ScalarType.Float64, generator: generator);
        var expected = Gradient(torch.CPU, ScalarType.Float64);
        var actual = Gradient(torch.CUDA, ScalarType.Float32);
        var error = (actual - expected).abs().max().ToDouble() / expected.abs().max().ToDouble();
        output.WriteLine($"seed {Seed}: relative error {error:e2}, allowed {tolerance:e1}");
        error.ShouldBeLessThan(tolerance);

        Tensor Gradient(Device device, ScalarType type)
        {
            using var model = Transformer.Create(config, Seed, device, type);
            using var context = model.Context(3, 9);
            var input = x.to(type, device).clone().requires_grad_();
            var h = input;
            foreach (var block in model.Blocks)
                h = block.forward(h, context);
            (model.norm(h) * probe.to(type, device)).sum().backward();
            return input.grad!.to(torch.CPU).to(ScalarType.Float64);
        }
    }

    private static DecoderConfig Config(string name) => DecoderConfig.FromJson(JsonNode.Parse(s_models[name])!.AsObject());

    private static void RequireGpu() => Assert.SkipUnless(torch.cuda.is_available(), "no GPU here");
}
