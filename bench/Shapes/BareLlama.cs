using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;
using F = TorchSharp.torch.nn.functional;

namespace Qbb.Bench.Shapes;

/// <summary>
/// A LLaMA as a textbook writes it: one libtorch operator after the other, heads of keys and values repeated, a mask of [T, T], a cache
/// that grows by concatenation. What the decoder's speed is measured against, and no more: default rotary embeddings, no biases.
/// </summary>
internal sealed class BareLlama : IDisposable
{
    private readonly DecoderConfig _config;
    private readonly DisposeScope _weights;
    private readonly Dictionary<string, Tensor> _tensors = new(StringComparer.Ordinal);
    private readonly Tensor _inverseFrequencies;
    private (Tensor Keys, Tensor Values)?[] _cache = [];

    public BareLlama(ModelSource source)
    {
        _config = DecoderConfig.FromJson(source.ConfigJson);
        if (_config.ModelType != "llama" || _config.Rope is not { Kind: RopeKind.Default })
            throw new InvalidInputException($"{source.Path}: the bare forward of the benchmark is for llama models with plain rotary embeddings");
        _weights = torch.NewDisposeScope();
        foreach (var entry in source.Tensors.Entries)
            _tensors[entry.Name] = WeightLoader.Load(source.Tensors, entry.Name, [.. entry.Shape], torch.CPU, ScalarType.Float32, own: true);
        var half = _config.HeadDimension / 2;
        _inverseFrequencies = torch.tensor(Enumerable.Range(0, half).Select(k => (float)Math.Pow(_config.Rope.Theta, -(double)k / half)).ToArray());
    }

    /// <summary>Forgets the tokens seen so far; with a cache, later calls continue from earlier ones.</summary>
    public void Reset(bool cached)
    {
        foreach (var entry in _cache)
        {
            entry?.Keys.Dispose();
            entry?.Values.Dispose();
        }
        _cache = new (Tensor, Tensor)?[cached ? _config.BlockCount : 0];
    }

    /// <summary>ids [B, T] → logits [B, T, V].</summary>
    public Tensor Forward(Tensor ids)
    {
        using var scope = torch.NewDisposeScope();
        var past = _cache.Length > 0 && _cache[0] is { } seen ? seen.Keys.size(2) : 0;
        var embedding = _tensors["model.embed_tokens.weight"];
        var x = F.embedding(ids, embedding);
        var angles = torch.outer(torch.arange(past, past + ids.size(1), 1, ScalarType.Float32), _inverseFrequencies);
        angles = torch.cat([angles, angles], 1);
        var (cos, sin) = (angles.cos(), angles.sin());
        var mask = torch.full([ids.size(1), past + ids.size(1)], double.NegativeInfinity, ScalarType.Float32).triu(past + 1);
        for (var block = 0; block < _config.BlockCount; block++)
        {
            var prefix = $"model.layers.{block}.";
            x += Attention(Norm(x, prefix + "input_layernorm.weight"), prefix + "self_attn.", block, cos, sin, mask);
            x += Mlp(Norm(x, prefix + "post_attention_layernorm.weight"), prefix + "mlp.");
        }
        return F.linear(Norm(x, "model.norm.weight"), _tensors.GetValueOrDefault("lm_head.weight", embedding)).MoveToOuterDisposeScope();
    }

    public void Dispose()
    {
        Reset(cached: false);
        _weights.Dispose();
    }

    private Tensor Linear(Tensor x, string module) => F.linear(x, _tensors[module + ".weight"]);

    private Tensor Norm(Tensor x, string weight) => x * (x.square().mean([2], true) + _config.NormEpsilon).rsqrt() * _tensors[weight];

    private Tensor Mlp(Tensor x, string prefix)
    {
        using var scope = torch.NewDisposeScope();
        return Linear(F.silu(Linear(x, prefix + "gate_proj")) * Linear(x, prefix + "up_proj"), prefix + "down_proj").MoveToOuterDisposeScope();
    }

    // Scores of all tokens by all tokens go with their block: kept until the end they would take a gigabyte a block at 2048 tokens.
    private Tensor Attention(Tensor x, string prefix, int block, Tensor cos, Tensor sin, Tensor mask)
    {
        using var scope = torch.NewDisposeScope();
        var (batch, count, size) = (x.size(0), x.size(1), (long)_config.HeadDimension);
        Tensor Heads(string name) => Linear(x, prefix + name).view(batch, count, -1, size).transpose(1, 2);
        Tensor Rotate(Tensor t) => t * cos + torch.cat([-t.narrow(3, size / 2, size / 2), t.narrow(3, 0, size / 2)], 3) * sin;
        var (q, k, v) = (Rotate(Heads("q_proj")), Rotate(Heads("k_proj")), Heads("v_proj"));
        if (_cache.Length > 0)
        {
            if (_cache[block] is { } before)
            {
                (k, v) = (torch.cat([before.Keys, k], 2), torch.cat([before.Values, v], 2));
                before.Keys.Dispose();
                before.Values.Dispose();
            }
            _cache[block] = (k.DetachFromDisposeScope(), v.DetachFromDisposeScope());
        }
        var repeat = _config.HeadCount / _config.KeyValueHeadCount;
        var scores = torch.matmul(q, k.repeat_interleave(repeat, 1).transpose(2, 3)) * (1 / Math.Sqrt(size)) + mask;
        var mixed = torch.matmul(F.softmax(scores, 3), v.repeat_interleave(repeat, 1));
        return Linear(mixed.transpose(1, 2).reshape(batch, count, -1), prefix + "o_proj").MoveToOuterDisposeScope();
    }
}
