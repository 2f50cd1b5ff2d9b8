using Qbb.Checkpoints;
using Qbb.Models.Decoder.Kernels;

namespace Qbb.Models.Decoder;

/// <summary>Self-attention of one block: projections as stored, norms of queries and keys, rotary embedding, cache, output.</summary>
internal sealed class Attention : IDisposable
{
    private readonly DecoderConfig _config;
    private readonly int _block;
    private readonly Dictionary<LinearRole, ILinear> _linears;
    private readonly Norm? _queryNorm;
    private readonly Norm? _keyNorm;
    private readonly StackedLinears? _stacked;

    public Attention(DecoderConfig config, BlockLayout layout, ITensorSource source, Device device, ScalarType dtype, Dictionary<LinearRole, ILinear> linears, bool own)
    {
        (_config, _block, _linears) = (config, layout.Index, linears);
        _queryNorm = layout.QueryNorm is { } query ? Norm.Load(source, query, config.NormEpsilon, device, dtype, own) : null;
        _keyNorm = layout.KeyNorm is { } key ? Norm.Load(source, key, config.NormEpsilon, device, dtype, own) : null;
        _stacked = StackedLinears.Of(linears, LinearRole.Query, LinearRole.Key, LinearRole.Value);
    }

    public Norm? QueryNorm => _queryNorm;

    public Norm? KeyNorm => _keyNorm;

    public IEnumerable<(string Name, Tensor Value)> Parameters() => [.. _queryNorm?.Parameters() ?? [], .. _keyNorm?.Parameters() ?? []];

    /// <param name="x">[batch, count, hidden]</param>
    /// <param name="context">Where the tokens stand.</param>
    public Tensor forward(Tensor x, ForwardContext context)
    {
        using var scope = torch.NewDisposeScope();
        var (queries, keys, values) = Project(x);
        if (_queryNorm is not null)
            (queries, keys) = (Normed(_queryNorm, queries), Normed(_keyNorm!, keys));
        var mixed = context.Cache is { } cache
            ? WithCache(queries, keys, values, cache, context)
            : WithoutCache(queries, keys, values, context);
        return _linears[LinearRole.AttentionOutput].forward(mixed).MoveToOuterDisposeScope();
    }

    public void Dispose()
    {
        _queryNorm?.Dispose();
        _keyNorm?.Dispose();
        _stacked?.Dispose();
    }

    private Tensor Normed(Norm norm, Tensor x) =>
        _config.QkNorm == QkNorm.RmsOfAllHeads ? norm.forward(x.reshape(x.size(0), x.size(1), x.size(2) * x.size(3))).view(x.shape) : norm.forward(x);

    /// <summary>Cosines and sines of this block; null where it does not rotate.</summary>
    private (Tensor Cos, Tensor Sin)? RotationOf(ForwardContext context) =>
        _config.Rotates?[_block] == false ? null : _config.Windows[_block] is not null ? context.LocalRotation ?? context.Rotation : context.Rotation;

    private Tensor WithoutCache(Tensor queries, Tensor keys, Tensor values, ForwardContext context)
    {
        if (RotationOf(context) is var (cos, sin))
            (queries, keys) = (Rotate(queries, cos, sin), Rotate(keys, cos, sin));
        return Attend(queries, keys.transpose(1, 2), values.transpose(1, 2), context);
    }

    private Tensor WithCache(Tensor queries, Tensor keys, Tensor values, KvCache cache, ForwardContext context)
    {
        var count = queries.size(1);
        var rotation = RotationOf(context);
        if (rotation is var (cos, sin) && FusedRotation.Serves(queries, cos) && !torch.is_grad_enabled())
        {
            var (cachedKeys, cachedValues) = cache.Whole(_block);
            queries = FusedRotation.Append(queries, keys, values, cos, sin, cachedKeys, cachedValues, cache.Length);
            if (!context.IsPadded && _config.AttentionSoftCap is null && OneQueryAttention.Serves(queries, _config.KeyValueHeadCount))
            {
                var seen = cache.Length + 1;
                var first = _config.Windows[_block] is { } window ? Math.Max(0, seen - window) : 0;
                return OneQueryAttention.Attend(queries, cachedKeys, cachedValues, first, seen, _config.ScaleOf(_block));
            }
            (keys, values) = cache.Seen(_block, count);
            return Attend(queries, keys, values, context);
        }
        if (rotation is var (cosines, sines))
            (queries, keys) = (Rotate(queries, cosines, sines), Rotate(keys, cosines, sines));
        (keys, values) = cache.Append(_block, keys.transpose(1, 2), values.transpose(1, 2));
        return Attend(queries, keys, values, context);
    }

    private Tensor Attend(Tensor queries, Tensor keys, Tensor values, ForwardContext context) =>
        ScaledAttention.Attend(queries.transpose(1, 2), keys, values, _config.ScaleOf(_block), _config.Windows[_block] ?? 0, _config.AttentionSoftCap, context);

    /// <summary>Queries [batch, count, heads, head], keys and values [batch, count, key/value heads, head].</summary>
    private (Tensor Queries, Tensor Keys, Tensor Values) Project(Tensor x)
    {
        var (batch, count) = (x.size(0), x.size(1));
        long heads = _config.HeadCount, groups = _config.KeyValueHeadCount, head = _config.HeadDimension;
        if (_stacked?.TryForward(x, _linears) is [var q, var k, var v])
            return (Heads(q, heads), Heads(k, groups), Heads(v, groups));
        if (_config.Packing == QkvPacking.Separate)
            return (Separate(LinearRole.Query, heads), Separate(LinearRole.Key, groups), Separate(LinearRole.Value, groups));
        var fused = _linears[LinearRole.QueryKeyValue].forward(x);
        if (_config.Packing == QkvPacking.InterleavedByHead)
        {
            var perHead = fused.view(batch, count, heads, 3 * head);
            return (perHead.narrow(-1, 0, head), perHead.narrow(-1, head, head), perHead.narrow(-1, 2 * head, head));
        }
        return (Part(0, heads), Part(heads, groups), Part(heads + groups, groups));

        Tensor Heads(Tensor part, long width) => part.view(batch, count, width, head);
        Tensor Separate(LinearRole role, long width) => Heads(_linears[role].forward(x), width);
        Tensor Part(long first, long width) => fused.view(batch, count, heads + 2 * groups, head).narrow(2, first, width);
    }

    /// <summary>Turns each pair (x_i, x_{i + pairs}) of the rotated share by its angle; the rest of the head passes.</summary>
    /// <param name="x">[batch, count, heads, head]</param>
    /// <param name="cos">[count, 1, pairs] or [batch, count, 1, pairs]</param>
    /// <param name="sin">As cos.</param>
    private static Tensor Rotate(Tensor x, Tensor cos, Tensor sin)
    {
        if (FusedRotation.Serves(x, cos))
            return FusedRotation.Apply(x, cos, sin);
        using var scope = torch.NewDisposeScope();
        var pairs = cos.size(-1);
        var (first, second) = (x.narrow(-1, 0, pairs), x.narrow(-1, pairs, pairs));
        var (turned, other) = (first * cos - second * sin, second * cos + first * sin);
        var passed = x.size(-1) - 2 * pairs;
        var result = passed == 0 ? torch.cat([turned, other], -1) : torch.cat([turned, other, x.narrow(-1, 2 * pairs, passed)], -1);
        return result.MoveToOuterDisposeScope();
    }
}
