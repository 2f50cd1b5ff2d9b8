using System.Text.Json.Nodes;
using Qbb.Checkpoints;

namespace Qbb.Models.Tests.Decoder;

/// <summary>
/// Every family's decoder in plain loops and doubles, written from the published models and straight from config.json: no code is
/// shared with the decoder that it checks, names and defaults included.
/// </summary>
internal sealed class ReferenceDecoder(JsonObject config, ITensorSource weights)
{
    private readonly string _type = config["model_type"]!.GetValue<string>();
    private readonly Dictionary<string, float[]> _read = [];

    /// <summary>Logits [token][vocabulary] of one sequence.</summary>
    public double[][] Logits(long[] ids)
    {
        var x = ids.Select((id, position) => Embed(id, position)).ToArray();
        for (var block = 0; block < Blocks; block++)
            x = Block(block, x);
        return [.. x.Select(Head)];
    }

    private int Blocks => Int("num_hidden_layers", "n_layer");

    private int Hidden => Int("hidden_size", "n_embd");

    private int Heads => Int("num_attention_heads", "n_head");

    private int Groups => config["num_key_value_heads"]?.GetValue<int>() ?? Heads;

    private int HeadSize => config["head_dim"]?.GetValue<int>() ?? Hidden / Heads;

    private double[] Embed(long id, int position)
    {
        switch (_type)
        {
            case "gpt2":
                return Sum(Row("transformer.wte.weight", id, Hidden), Row("transformer.wpe.weight", position, Hidden));
            case "gpt_neox":
                return Row("gpt_neox.embed_in.weight", id, Hidden);
            case "gemma" or "gemma2" or "gemma3_text":
                return [.. Row("model.embed_tokens.weight", id, Hidden).Select(value => value * Math.Sqrt(Hidden))];
            case "granite":
                return [.. Row("model.embed_tokens.weight", id, Hidden).Select(value => value * Number("embedding_multiplier"))];
            case "opt":
                var width = config["word_embed_proj_dim"]?.GetValue<int>() ?? Hidden;
                var token = Row("model.decoder.embed_tokens.weight", id, width);
                if (width != Hidden)
                    token = Linear("model.decoder.project_in", token, Hidden, bias: false);
                return Sum(token, Row("model.decoder.embed_positions.weight", position + 2, Hidden));
            default:
                return Row("model.embed_tokens.weight", id, Hidden);
        }
    }

    private double[] Head(double[] x)
    {
        var vocabulary = Int("vocab_size");
        var tied = config["tie_word_embeddings"]?.GetValue<bool>() ?? _type is "gpt2" or "opt" or "gemma" or "gemma2" or "gemma3_text" or "smollm3" or "starcoder2";
        switch (_type)
        {
            case "gpt2":
                return Linear(tied ? "transformer.wte" : "lm_head", LayerNorm("transformer.ln_f", x), vocabulary, bias: false);
            case "gpt_neox":
                return Linear(tied ? "gpt_neox.embed_in" : "embed_out", LayerNorm("gpt_neox.final_layer_norm", x), vocabulary, bias: false);
            case "phi":
                return Linear("lm_head", LayerNorm("model.final_layernorm", x), vocabulary, bias: true);
            case "opt":
                if (Flag("do_layer_norm_before", true) && !Flag("_remove_final_layer_norm", false))
                    x = LayerNorm("model.decoder.final_layer_norm", x);
                var width = config["word_embed_proj_dim"]?.GetValue<int>() ?? Hidden;
                if (width != Hidden)
                    x = Linear("model.decoder.project_out", x, width, bias: false);
                return Linear(tied ? "model.decoder.embed_tokens" : "lm_head", x, vocabulary, bias: false);
            case "starcoder2":
                return Linear(tied ? "model.embed_tokens" : "lm_head", LayerNorm("model.norm", x), vocabulary, bias: false);
            case "gemma2":
                return [.. Linear("model.embed_tokens", RmsNorm("model.norm", x), vocabulary, bias: false).Select(logit => Capped(logit, "final_logit_softcapping"))];
            case "granite":
                return [.. Linear(tied ? "model.embed_tokens" : "lm_head", RmsNorm("model.norm", x), vocabulary, bias: false).Select(logit => logit / Number("logits_scaling"))];
            default:
                return Linear(tied ? "model.embed_tokens" : "lm_head", RmsNorm("model.norm", x), vocabulary, bias: false);
        }
    }

    private double[][] Block(int block, double[][] x) => _type switch
    {
        "gpt2" => Gpt2(block, x),
        "gpt_neox" => GptNeoX(block, x),
        "opt" => Opt(block, x),
        "phi" => Phi(block, x),
        "phi3" => Phi3(block, x),
        "gemma2" or "gemma3_text" => LaterGemma(block, x),
        "olmo2" => Olmo2(block, x),
        "starcoder2" => Starcoder2(block, x),
        _ => Llama(block, x),
    };

    private double[][] Llama(int block, double[][] x)
    {
        var name = $"model.layers.{block}.";
        var attentionBias = Flag("attention_bias", false);
        var mlpBias = _type is "llama" or "smollm3" or "granite" && Flag("mlp_bias", false);
        var residual = _type == "granite" ? Number("residual_multiplier") : 1;
        var normed = Map(x, row => RmsNorm(name + "input_layernorm", row));
        var q = Map(normed, row => Linear(name + "self_attn.q_proj", row, Heads * HeadSize, attentionBias || _type == "qwen2"));
        var k = Map(normed, row => Linear(name + "self_attn.k_proj", row, Groups * HeadSize, attentionBias || _type == "qwen2"));
        var v = Map(normed, row => Linear(name + "self_attn.v_proj", row, Groups * HeadSize, attentionBias || _type == "qwen2"));
        if (_type == "qwen3")
        {
            q = Map(q, row => PerHead(row, head => RmsNorm(name + "self_attn.q_norm", head)));
            k = Map(k, row => PerHead(row, head => RmsNorm(name + "self_attn.k_norm", head)));
        }
        if (_type != "smollm3" || config["no_rope_layers"]![block]!.GetValue<int>() == 1)
            (q, k) = (Rotate(q), Rotate(k));
        var mixed = Attend(block, q, k, v);
        x = Sum(x, Map(mixed, row => Times(residual, Linear(name + "self_attn.o_proj", row, Hidden, attentionBias))));
        return Sum(x, Map(x, row => Times(residual, Gated(name, RmsNorm(name + "post_attention_layernorm", row), mlpBias))));
    }

    private double[][] LaterGemma(int block, double[][] x)
    {
        var name = $"model.layers.{block}.";
        var normed = Map(x, row => RmsNorm(name + "input_layernorm", row));
        var q = Map(normed, row => Linear(name + "self_attn.q_proj", row, Heads * HeadSize, false));
        var k = Map(normed, row => Linear(name + "self_attn.k_proj", row, Groups * HeadSize, false));
        var v = Map(normed, row => Linear(name + "self_attn.v_proj", row, Groups * HeadSize, false));
        var rope = config;
        if (_type == "gemma3_text")
        {
            q = Map(q, row => PerHead(row, head => RmsNorm(name + "self_attn.q_norm", head)));
            k = Map(k, row => PerHead(row, head => RmsNorm(name + "self_attn.k_norm", head)));
            rope = (JsonObject)config.DeepClone();
            rope["rope_parameters"] = config["rope_parameters"]![config["layer_types"]![block]!.GetValue<string>()]!.DeepClone();
        }
        var mixed = Map(Attend(block, Rotate(q, rope), Rotate(k, rope), v), row => Linear(name + "self_attn.o_proj", row, Hidden, false));
        x = Sum(x, Map(mixed, row => RmsNorm(name + "post_attention_layernorm", row)));
        return Sum(x, Map(x, row => RmsNorm(name + "post_feedforward_layernorm", Gated(name, RmsNorm(name + "pre_feedforward_layernorm", row), false))));
    }

    private double[][] Olmo2(int block, double[][] x)
    {
        var name = $"model.layers.{block}.";
        var q = Rotate(Map(x, row => RmsNorm(name + "self_attn.q_norm", Linear(name + "self_attn.q_proj", row, Heads * HeadSize, false))));
        var k = Rotate(Map(x, row => RmsNorm(name + "self_attn.k_norm", Linear(name + "self_attn.k_proj", row, Groups * HeadSize, false))));
        var v = Map(x, row => Linear(name + "self_attn.v_proj", row, Groups * HeadSize, false));
        x = Sum(x, Map(Attend(block, q, k, v), row => RmsNorm(name + "post_attention_layernorm", Linear(name + "self_attn.o_proj", row, Hidden, false))));
        return Sum(x, Map(x, row => RmsNorm(name + "post_feedforward_layernorm", Gated(name, row, false))));
    }

    private double[][] Starcoder2(int block, double[][] x)
    {
        var name = $"model.layers.{block}.";
        var bias = Flag("use_bias", true);
        var normed = Map(x, row => LayerNorm(name + "input_layernorm", row));
        double[][] Project(string what, int heads) => Map(normed, row => Linear(name + "self_attn." + what, row, heads * HeadSize, bias));
        var mixed = Attend(block, Rotate(Project("q_proj", Heads)), Rotate(Project("k_proj", Groups)), Project("v_proj", Groups));
        x = Sum(x, Map(mixed, row => Linear(name + "self_attn.o_proj", row, Hidden, bias)));
        return Sum(x, Map(x, row => Plain(LayerNorm(name + "post_attention_layernorm", row), name + "mlp.c_fc", name + "mlp.c_proj", Int("intermediate_size"), bias)));
    }

    private double[] Gated(string name, double[] x, bool bias)
    {
        var gate = Linear(name + "mlp.gate_proj", x, Int("intermediate_size"), bias);
        var up = Linear(name + "mlp.up_proj", x, Int("intermediate_size"), bias);
        return Linear(name + "mlp.down_proj", [.. gate.Select((value, i) => Activate(value) * up[i])], Hidden, bias);
    }

    private double Capped(double x, string key) => config[key]?.GetValue<double>() is { } cap ? cap * Math.Tanh(x / cap) : x;

    private double Number(string key) => config[key]!.GetValue<double>();

    private static double[] Times(double factor, double[] x) => [.. x.Select(value => factor * value)];

    private double[][] Phi3(int block, double[][] x)
    {
        var name = $"model.layers.{block}.";
        var (queries, keys, width) = (Heads * HeadSize, Groups * HeadSize, Int("intermediate_size"));
        var fused = Map(x, row => Linear(name + "self_attn.qkv_proj", RmsNorm(name + "input_layernorm", row), queries + 2 * keys, false));
        var mixed = Attend(
            block, Rotate(Map(fused, row => row[..queries])), Rotate(Map(fused, row => row[queries..(queries + keys)])), Map(fused, row => row[(queries + keys)..]));
        x = Sum(x, Map(mixed, row => Linear(name + "self_attn.o_proj", row, Hidden, false)));
        return Sum(x, Map(x, row =>
        {
            var both = Linear(name + "mlp.gate_up_proj", RmsNorm(name + "post_attention_layernorm", row), 2 * width, false);
            return Linear(name + "mlp.down_proj", [.. Enumerable.Range(0, width).Select(i => Activate(both[i]) * both[width + i])], Hidden, false);
        }));
    }

    private double[][] Phi(int block, double[][] x)
    {
        var name = $"model.layers.{block}.";
        var normed = Map(x, row => LayerNorm(name + "input_layernorm", row));
        var q = Map(normed, row => Linear(name + "self_attn.q_proj", row, Heads * HeadSize, true));
        var k = Map(normed, row => Linear(name + "self_attn.k_proj", row, Groups * HeadSize, true));
        var v = Map(normed, row => Linear(name + "self_attn.v_proj", row, Groups * HeadSize, true));
        if (Flag("qk_layernorm", false))
        {
            q = Map(q, row => PerHead(row, head => LayerNorm(name + "self_attn.q_layernorm", head)));
            k = Map(k, row => PerHead(row, head => LayerNorm(name + "self_attn.k_layernorm", head)));
        }
        var mixed = Map(Attend(block, Rotate(q), Rotate(k), v), row => Linear(name + "self_attn.dense", row, Hidden, true));
        var fed = Map(normed, row => Plain(row, name + "mlp.fc1", name + "mlp.fc2", Int("intermediate_size"), true));
        return Sum(Sum(x, mixed), fed);
    }

    private double[][] GptNeoX(int block, double[][] x)
    {
        var name = $"gpt_neox.layers.{block}.";
        var bias = Flag("attention_bias", true);
        var fused = Map(x, row => Linear(name + "attention.query_key_value", LayerNorm(name + "input_layernorm", row), 3 * Hidden, bias));
        double[][] Third(int third) => Map(fused, row => Enumerable.Range(0, Hidden).Select(i => row[(i / HeadSize * 3 + third) * HeadSize + i % HeadSize]).ToArray());
        var mixed = Map(Attend(block, Rotate(Third(0)), Rotate(Third(1)), Third(2)), row => Linear(name + "attention.dense", row, Hidden, bias));
        var middle = Sum(x, mixed);
        var input = Flag("use_parallel_residual", true) ? x : middle;
        return Sum(middle, Map(input, row =>
            Plain(LayerNorm(name + "post_attention_layernorm", row), name + "mlp.dense_h_to_4h", name + "mlp.dense_4h_to_h", Int("intermediate_size"), true)));
    }

    private double[][] Gpt2(int block, double[][] x)
    {
        var name = $"transformer.h.{block}.";
        var width = config["n_inner"]?.GetValue<int>() ?? 4 * Hidden;
        var fused = Map(x, row => Convolution(name + "attn.c_attn", LayerNorm(name + "ln_1", row), 3 * Hidden));
        var mixed = Attend(block, Map(fused, row => row[..Hidden]), Map(fused, row => row[Hidden..(2 * Hidden)]), Map(fused, row => row[(2 * Hidden)..]));
        x = Sum(x, Map(mixed, row => Convolution(name + "attn.c_proj", row, Hidden)));
        return Sum(x, Map(x, row =>
        {
            var inner = Convolution(name + "mlp.c_fc", LayerNorm(name + "ln_2", row), width);
            return Convolution(name + "mlp.c_proj", [.. inner.Select(Activate)], Hidden);
        }));
    }

    private double[][] Opt(int block, double[][] x)
    {
        var name = $"model.decoder.layers.{block}.";
        var before = Flag("do_layer_norm_before", true);
        var bias = Flag("enable_bias", true);
        var input = before ? Map(x, row => LayerNorm(name + "self_attn_layer_norm", row)) : x;
        double[][] Project(string what) => Map(input, row => Linear(name + "self_attn." + what, row, Hidden, bias));
        var mixed = Attend(block, Project("q_proj"), Project("k_proj"), Project("v_proj"));
        x = Sum(x, Map(mixed, row => Linear(name + "self_attn.out_proj", row, Hidden, bias)));
        if (!before)
            x = Map(x, row => LayerNorm(name + "self_attn_layer_norm", row));
        x = Sum(x, Map(x, row =>
            Plain(before ? LayerNorm(name + "final_layer_norm", row) : row, name + "fc1", name + "fc2", Int("ffn_dim"), bias)));
        return before ? x : Map(x, row => LayerNorm(name + "final_layer_norm", row));
    }

    private double[] Plain(double[] x, string up, string down, int width, bool bias) =>
        Linear(down, [.. Linear(up, x, width, bias).Select(Activate)], Hidden, bias);

    private double[][] Attend(int block, double[][] q, double[][] k, double[][] v)
    {
        var scale = 1 / Math.Sqrt(HeadSize);
        if (_type is "gemma2" or "gemma3_text")
            scale = 1 / Math.Sqrt(Number("query_pre_attn_scalar"));
        if (_type == "granite")
            scale = Number("attention_multiplier");
        if (!Flag("scale_attn_weights", true))
            scale = 1;
        if (Flag("scale_attn_by_inverse_layer_idx", false))
            scale /= block + 1;
        var window = Window(block);
        var result = Map(q, row => new double[row.Length]);
        for (var head = 0; head < Heads; head++)
        {
            var (mine, shared) = (head * HeadSize, head / (Heads / Groups) * HeadSize);
            for (var i = 0; i < q.Length; i++)
            {
                var first = window is { } w ? Math.Max(0, i - w + 1) : 0;
                var scores = new double[i + 1 - first];
                for (var j = first; j <= i; j++)
                {
                    for (var e = 0; e < HeadSize; e++)
                        scores[j - first] += q[i][mine + e] * k[j][shared + e] * scale;
                }
                if (_type == "gemma2")
                    scores = [.. scores.Select(score => Capped(score, "attn_logit_softcapping"))];
                var largest = scores.Max();
                var weights = scores.Select(score => Math.Exp(score - largest)).ToArray();
                var total = weights.Sum();
                for (var j = first; j <= i; j++)
                {
                    for (var e = 0; e < HeadSize; e++)
                        result[i][mine + e] += weights[j - first] / total * v[j][shared + e];
                }
            }
        }
        return result;
    }

    private int? Window(int block)
    {
        var window = config["sliding_window"]?.GetValue<int>();
        switch (_type)
        {
            case "mistral" or "phi3" or "starcoder2":
                return window;
            case "gemma2" or "gemma3_text":
                return config["layer_types"]![block]!.GetValue<string>() == "sliding_attention" ? window : null;
            case "qwen2" or "qwen3" when Flag("use_sliding_window", false):
                if (config["layer_types"] is JsonArray types)
                    return types[block]!.GetValue<string>() == "sliding_attention" ? window : null;
                return block >= config["max_window_layers"]!.GetValue<int>() ? window : null;
            default:
                return null;
        }
    }

    private double[][] Rotate(double[][] x, JsonObject? rope = null)
    {
        var (frequencies, factor) = ReferenceRope.Of(rope ?? config, _type, HeadSize, x.Length);
        var pairs = frequencies.Length;
        return [.. x.Select((row, position) => PerHead(row, head =>
        {
            var turned = (double[])head.Clone();
            for (var i = 0; i < pairs; i++)
            {
                var (sin, cos) = Math.SinCos(position * frequencies[i]);
                turned[i] = factor * (head[i] * cos - head[i + pairs] * sin);
                turned[i + pairs] = factor * (head[i + pairs] * cos + head[i] * sin);
            }
            return turned;
        }))];
    }

    private double Activate(double x)
    {
        var name = (_type.StartsWith("gemma", StringComparison.Ordinal) ? config["hidden_activation"]?.GetValue<string>() : null)
            ?? config["hidden_act"]?.GetValue<string>() ?? config["activation_function"]?.GetValue<string>()
            ?? throw new InvalidOperationException("the test's config names no activation");
        return name switch
        {
            "silu" => x / (1 + Math.Exp(-x)),
            "relu" => Math.Max(x, 0),
            "relu2" => Math.Max(x, 0) * Math.Max(x, 0),
            "quick_gelu" => x / (1 + Math.Exp(-1.702 * x)),
            "gelu" => x * 0.5 * (1 + Erf(x / Math.Sqrt(2))),
            "gelu_new" or "gelu_pytorch_tanh" => 0.5 * x * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x))),
            _ => throw new InvalidOperationException(name),
        };
    }

    /// <summary>The error function by its Taylor series, which converges for all arguments that occur here.</summary>
    private static double Erf(double x)
    {
        if (Math.Abs(x) > 5)
            return Math.Sign(x);
        var (term, sum) = (x, x);
        for (var n = 1; n < 200; n++)
        {
            term *= -x * x / n;
            sum += term / (2 * n + 1);
        }
        return 2 / Math.Sqrt(Math.PI) * sum;
    }

    private double[] RmsNorm(string name, double[] x)
    {
        var weight = Read(name + ".weight");
        var epsilon = config["rms_norm_eps"]!.GetValue<double>();
        var scale = 1 / Math.Sqrt(x.Sum(value => value * value) / x.Length + epsilon);
        return [.. x.Select((value, i) => value * scale * (_type.StartsWith("gemma", StringComparison.Ordinal) ? 1 + weight[i] : weight[i]))];
    }

    private double[] LayerNorm(string name, double[] x)
    {
        var epsilon = config["layer_norm_eps"]?.GetValue<double>() ?? config["layer_norm_epsilon"]?.GetValue<double>() ?? config["norm_epsilon"]?.GetValue<double>() ?? 1e-5;
        var mean = x.Average();
        var scale = 1 / Math.Sqrt(x.Sum(value => (value - mean) * (value - mean)) / x.Length + epsilon);
        var normed = x.Select(value => (value - mean) * scale).ToArray();
        if (!Flag("layer_norm_elementwise_affine", true))
            return normed;
        var (weight, bias) = (Read(name + ".weight"), Read(name + ".bias"));
        return [.. normed.Select((value, i) => value * weight[i] + bias[i])];
    }

    private double[] Linear(string name, double[] x, int outputs, bool bias)
    {
        var weight = Read(name + ".weight");
        var offset = bias ? Read(name + ".bias") : null;
        var y = new double[outputs];
        for (var o = 0; o < outputs; o++)
        {
            y[o] = offset?[o] ?? 0;
            for (var i = 0; i < x.Length; i++)
                y[o] += weight[o * x.Length + i] * x[i];
        }
        return y;
    }

    /// <summary>GPT-2's Conv1D: the weight is [in, out].</summary>
    private double[] Convolution(string name, double[] x, int outputs)
    {
        var (weight, bias) = (Read(name + ".weight"), Read(name + ".bias"));
        return [.. Enumerable.Range(0, outputs).Select(o => bias[o] + x.Select((value, i) => value * weight[i * outputs + o]).Sum())];
    }

    private double[] PerHead(double[] row, Func<double[], double[]> change) => [.. row.Chunk(HeadSize).SelectMany(change)];

    private double[] Row(string name, long row, int width) => [.. Read(name).AsSpan((int)row * width, width).ToArray().Select(value => (double)value)];

    private float[] Read(string name)
    {
        if (!_read.TryGetValue(name, out var values))
        {
            values = new float[weights.Describe(name).Count];
            weights.ReadFloat(name, 0, values);
            _read[name] = values;
        }
        return values;
    }

    private int Int(string key, string? other = null) => (config[key] ?? config[other ?? key])!.GetValue<int>();

    private bool Flag(string key, bool fallback) => config[key]?.GetValue<bool>() ?? fallback;

    private static double[][] Map(double[][] x, Func<double[], double[]> change) => [.. x.Select(change)];

    private static double[] Sum(double[] a, double[] b) => [.. a.Select((value, i) => value + b[i])];

    private static double[][] Sum(double[][] a, double[][] b) => [.. a.Select((row, i) => Sum(row, b[i]))];
}
