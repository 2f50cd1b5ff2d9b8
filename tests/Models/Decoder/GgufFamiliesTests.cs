using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Qbb.Checkpoints;
using Qbb.Models.Decoder;
using Qbb.Tests;

namespace Qbb.Models.Tests.Decoder;

/// <summary>
/// Models written as GGUF files the way llama.cpp's converter writes them (names, turned rows, norms counted from one) give the logits of
/// their Hugging Face folders.
/// </summary>
public sealed partial class GgufFamiliesTests(ITestOutputHelper output) : IDisposable
{
    private const string Sizes =
        """
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 40,
        "max_position_embeddings": 64
        """;

    private static readonly Dictionary<string, string> s_configs = new()
    {
        ["gemma2"] = $$"""
            { "model_type": "gemma2", "head_dim": 12, "rms_norm_eps": 1e-6, "sliding_window": 5, "query_pre_attn_scalar": 12, "attn_logit_softcapping": 1.5,
              "final_logit_softcapping": 2.0, {{Sizes}} }
            """,
        ["gemma3"] = $$"""
            { "model_type": "gemma3_text", "head_dim": 12, "rms_norm_eps": 1e-6, "sliding_window": 5, "sliding_window_pattern": 2, "query_pre_attn_scalar": 12,
              "rope_theta": 500.0, "rope_local_base_freq": 50.0, "rope_scaling": { "rope_type": "linear", "factor": 4.0 }, {{Sizes}} }
            """,
        ["smollm3"] = $$"""{ "model_type": "smollm3", "rms_norm_eps": 1e-6, "rope_theta": 500.0, {{Sizes}} }""",
        ["granite"] = $$"""
            { "model_type": "granite", "rms_norm_eps": 1e-6, "attention_bias": true, "mlp_bias": true, "embedding_multiplier": 3.0, "residual_multiplier": 0.5,
              "attention_multiplier": 0.25, "logits_scaling": 2.5, {{Sizes}} }
            """,
        ["olmo2"] = $$"""{ "model_type": "olmo2", "rms_norm_eps": 1e-6, {{Sizes}} }""",
        ["starcoder2"] = $$"""{ "model_type": "starcoder2", "norm_epsilon": 1e-5, {{Sizes}} }""",
    };

    private static readonly Dictionary<string, string> s_names = new()
    {
        ["model.embed_tokens"] = "token_embd",
        ["model.norm"] = "output_norm",
        ["lm_head"] = "output",
        ["self_attn.q_proj"] = "attn_q",
        ["self_attn.k_proj"] = "attn_k",
        ["self_attn.v_proj"] = "attn_v",
        ["self_attn.o_proj"] = "attn_output",
        ["self_attn.dense"] = "attn_output",
        ["self_attn.qkv_proj"] = "attn_qkv",
        ["self_attn.q_norm"] = "attn_q_norm",
        ["self_attn.k_norm"] = "attn_k_norm",
        ["mlp.gate_proj"] = "ffn_gate",
        ["mlp.gate_up_proj"] = "ffn_up",
        ["mlp.up_proj"] = "ffn_up",
        ["mlp.down_proj"] = "ffn_down",
        ["mlp.fc1"] = "ffn_up",
        ["mlp.fc2"] = "ffn_down",
        ["mlp.c_fc"] = "ffn_up",
        ["mlp.c_proj"] = "ffn_down",
        ["input_layernorm"] = "attn_norm",
        ["post_attention_layernorm"] = "ffn_norm",
        ["model.final_layernorm"] = "output_norm",
        ["gpt_neox.embed_in"] = "token_embd",
        ["gpt_neox.final_layer_norm"] = "output_norm",
        ["embed_out"] = "output",
        ["attention.query_key_value"] = "attn_qkv",
        ["attention.dense"] = "attn_output",
        ["mlp.dense_h_to_4h"] = "ffn_up",
        ["mlp.dense_4h_to_h"] = "ffn_down",
        ["transformer.wte"] = "token_embd",
        ["transformer.wpe"] = "position_embd",
        ["transformer.ln_f"] = "output_norm",
        ["attn.c_attn"] = "attn_qkv",
        ["attn.c_proj"] = "attn_output",
        ["ln_1"] = "attn_norm",
        ["ln_2"] = "ffn_norm",
    };

    private const int Seed = 21;
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>Architectures, each with the golden checkpoint that it is made of; null for random weights.</summary>
    public static TheoryData<string, string?> Families => new()
    {
        { "gemma", "gemma" },
        { "phi2", "phi" },
        { "phi3", "phi3" },
        { "gptneox", "gpt-neox" },
        { "gpt2", "gpt2" },
        { "gemma2", null },
        { "gemma3", null },
        { "smollm3", null },
        { "granite", null },
        { "olmo2", null },
        { "starcoder2", null },
    };

    [Theory]
    [MemberData(nameof(Families))]
    public void Logits_are_those_of_the_Hugging_Face_folder(string architecture, string? golden)
    {
        var (config, json, tensors) = Model(architecture, golden);
        using var owned = tensors;
        var path = _folder.Write("x.gguf", Convert(architecture, config, json, tensors).Build());
        var warnings = new List<string>();
        using var heard = ModelWarnings.Listen(warnings.Add);
        using var source = ModelSource.Open(path);
        using var scope = torch.NewDisposeScope();
        using var grad = torch.no_grad();
        using var expected = Transformer.Load(config, tensors, torch.CPU, ScalarType.Float32);
        using var actual = Transformer.Load(source, torch.CPU, ScalarType.Float32);
        var ids = torch.tensor([.. Enumerable.Range(0, 24).Select(i => (long)(i * 17 % 40))], 1, 24);
        var difference = (actual.forward(ids) - expected.forward(ids)).abs().max().ToDouble();
        output.WriteLine($"{architecture}, seed {Seed}: largest difference {difference:E2}, allowed 1e-4");
        difference.ShouldBeLessThan(1e-4);
        warnings.ShouldBeEmpty();
        // A range that begins and ends inside rows is the same as a part of the whole.
        foreach (var entry in source.Tensors.Entries)
        {
            var whole = new float[entry.Count];
            var part = new float[Math.Max(1, entry.Count / 2)];
            source.Tensors.ReadFloat(entry.Name, 0, whole);
            source.Tensors.ReadFloat(entry.Name, entry.Count / 3, part);
            part.ShouldBe(whole.AsSpan((int)(entry.Count / 3), part.Length).ToArray(), entry.Name);
        }
    }

    /// <summary>The same with a tokenizer, which llama.cpp wants.</summary>
    internal static GgufBuilder File(string architecture, string? golden)
    {
        var (config, json, tensors) = Model(architecture, golden);
        using var owned = tensors;
        var size = config.VocabularySize;
        return Convert(architecture, config, json, tensors)
            .Add("tokenizer.ggml.model", "gpt2")
            .Add("tokenizer.ggml.pre", "gpt-2")
            .Add("tokenizer.ggml.tokens", (string[])[.. Enumerable.Range(0, size).Select(id => $"t{id}")])
            .Add("tokenizer.ggml.token_type", (int[])[.. Enumerable.Repeat(1, size)])
            .Add("tokenizer.ggml.merges", Array.Empty<string>());
    }

    private static (DecoderConfig Config, JsonObject Json, ITensorSource Tensors) Model(string architecture, string? golden)
    {
        if (golden is not null)
        {
            var source = ModelSource.Open(Golden.Folder(golden));
            return (DecoderConfig.FromJson(source.ConfigJson), source.ConfigJson, source.Tensors);
        }
        var json = JsonNode.Parse(s_configs[architecture])!.AsObject();
        var config = DecoderConfig.FromJson(json);
        return (config, json, TestCheckpoint.Random(config, Seed));
    }

    private static GgufBuilder Convert(string architecture, DecoderConfig config, JsonObject json, ITensorSource tensors)
    {
        var isGemma = architecture.StartsWith("gemma", StringComparison.Ordinal);
        var builder = new GgufBuilder().Add("general.architecture", architecture);
        void Add(string key, object value) => builder.Add($"{architecture}.{key}", value);
        Add("context_length", (uint)config.MaxPositions);
        Add("embedding_length", (uint)config.HiddenSize);
        Add("block_count", (uint)config.BlockCount);
        Add("feed_forward_length", (uint)config.IntermediateSize);
        Add("attention.head_count", (uint)config.HeadCount);
        Add("attention.head_count_kv", (uint)config.KeyValueHeadCount);
        Add(config.Norm == NormKind.LayerNorm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon", (float)config.NormEpsilon);
        if (config.Rope is { } rope)
        {
            Add("rope.freq_base", (float)rope.Theta);
            Add("rope.dimension_count", (uint)rope.Dimensions);
        }
        if (isGemma)
        {
            Add("attention.key_length", (uint)config.HeadDimension);
            Add("attention.value_length", (uint)config.HeadDimension);
        }
        if (architecture is "gemma2" or "gemma3")
            Add("attention.sliding_window", 5u);
        if (architecture == "gemma2")
        {
            Add("attn_logit_softcapping", 1.5f);
            Add("final_logit_softcapping", 2f);
        }
        if (architecture == "gemma3")
        {
            Add("attention.sliding_window_pattern", 2u);
            Add("rope.freq_base_swa", 50f);
            Add("rope.scaling.type", "linear");
            Add("rope.scaling.factor", 4f);
        }
        if (architecture == "granite")
        {
            Add("attention.scale", 0.25f);
            Add("embedding_scale", 3f);
            Add("residual_scale", 0.5f);
            Add("logit_scale", 2.5f);
        }
        if (architecture == "gptneox")
            Add("use_parallel_residual", json["use_parallel_residual"]?.GetValue<bool>() ?? true);
        if (architecture == "phi3")
            Add("attention.sliding_window", (uint)(config.Windows[0] ?? 0));
        if (config.Rope is { Kind: RopeKind.LongRope } factors)
        {
            Add("rope.scaling.original_context_length", (uint)factors.OriginalMaxPositions);
            builder.Tensor("rope_factors_short.weight", [factors.ShortFactor.Count], [.. factors.ShortFactor.Select(factor => (float)factor)]);
            builder.Tensor("rope_factors_long.weight", [factors.LongFactor.Count], [.. factors.LongFactor.Select(factor => (float)factor)]);
        }
        var needed = DecoderLayout.Resolve(config, tensors).TensorNames.ToHashSet();
        foreach (var entry in tensors.Entries.Where(entry => needed.Contains(entry.Name)))
        {
            var values = new float[entry.Count];
            tensors.ReadFloat(entry.Name, 0, values);
            var match = BlockName().Match(entry.Name);
            var end = entry.Name[entry.Name.LastIndexOf('.')..];
            var module = match.Success ? match.Groups[2].Value : entry.Name[..^end.Length];
            var name = Name(architecture, module);
            if (isGemma && entry.Name.EndsWith("norm.weight", StringComparison.Ordinal))
                values = [.. values.Select(value => value + 1)];
            var shape = entry.Shape.ToArray();
            if (architecture is "smollm3" or "granite" && name is "attn_q" or "attn_k")
                values = Interleaved(values, shape, name == "attn_q" ? config.HeadCount : config.KeyValueHeadCount);
            if (architecture == "gptneox" && name == "attn_qkv")
                values = Apart(values, shape, config.HeadCount);
            if (architecture == "gpt2" && match.Success && shape.Length == 2)
                (values, shape) = (Transposed(values, shape), [shape[1], shape[0]]);
            builder.Tensor(match.Success ? $"blk.{match.Groups[1].Value}.{name}{end}" : name + end, shape, values);
        }
        return builder;
    }

    private static string Name(string architecture, string module) => (architecture, module) switch
    {
        ("gemma2" or "gemma3" or "olmo2", "post_attention_layernorm") => "post_attention_norm",
        (_, "pre_feedforward_layernorm") => "ffn_norm",
        (_, "post_feedforward_layernorm") => "post_ffw_norm",
        ("gpt2", "mlp.c_proj") => "ffn_down",
        _ => s_names[module],
    };

    /// <summary>The rows of each head as [2, half, …] become [half, 2, …].</summary>
    private static float[] Interleaved(float[] values, long[] shape, int heads)
    {
        var (rows, width) = ((int)shape[0], values.Length / (int)shape[0]);
        var size = rows / heads;
        var result = new float[values.Length];
        for (var row = 0; row < rows; row++)
        {
            var (head, inside) = (row / size, row % size);
            values.AsSpan(row * width, width).CopyTo(result.AsSpan((head * size + inside % (size / 2) * 2 + inside / (size / 2)) * width, width));
        }
        return result;
    }

    /// <summary>The rows as [heads, 3, size, …] become [3, heads, size, …].</summary>
    private static float[] Apart(float[] values, long[] shape, int heads)
    {
        var part = values.Length / (3 * heads);
        var result = new float[values.Length];
        for (var head = 0; head < heads; head++)
        {
            for (var third = 0; third < 3; third++)
                values.AsSpan((head * 3 + third) * part, part).CopyTo(result.AsSpan((third * heads + head) * part, part));
        }
        return result;
    }

    private static float[] Transposed(float[] values, long[] shape)
    {
        var (rows, columns) = ((int)shape[0], (int)shape[1]);
        return [.. Enumerable.Range(0, columns).SelectMany(column => Enumerable.Range(0, rows).Select(row => values[row * columns + column]))];
    }

    [GeneratedRegex(@"^(?:model\.layers|gpt_neox\.layers|transformer\.h)\.(\d+)\.(.+)\.(?:weight|bias)$")]
    private static partial Regex BlockName();
}
