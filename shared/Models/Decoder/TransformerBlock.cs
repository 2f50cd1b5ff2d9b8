using Qbb.Checkpoints;
using Qbb.Models.Decoder.Graph;

namespace Qbb.Models.Decoder;

/// <summary>One block of the decoder. Loads by itself, so that a model can be walked with one block in memory at a time.</summary>
public sealed class TransformerBlock : IDisposable
{
    private readonly DecoderConfig _config;
    private readonly Dictionary<LinearRole, ILinear> _linears;
    private readonly Norm _attentionNorm;
    private readonly Norm? _attentionOutputNorm;
    private readonly Norm? _mlpNorm;
    private readonly Norm? _mlpOutputNorm;
    private readonly Attention _attention;
    private readonly Mlp _mlp;

    private TransformerBlock(DecoderConfig config, BlockLayout layout, ITensorSource source, Device device, ScalarType dtype, ILinearLoader loader, bool own)
    {
        (_config, Layout) = (config, layout);
        _linears = layout.Linears.ToDictionary(spec => spec.Role, spec => loader.Load(source, spec, device, dtype));
        _attentionNorm = Norm.Load(source, layout.AttentionNorm, config.NormEpsilon, device, dtype, own);
        (_attentionOutputNorm, _mlpNorm, _mlpOutputNorm) = (Load(layout.AttentionOutputNorm), Load(layout.MlpNorm), Load(layout.MlpOutputNorm));
        _attention = new Attention(config, layout, source, device, dtype, _linears, own);
        _mlp = new Mlp(config, _linears);
        Joined = new JoinedLinears(config, _linears);

        Norm? Load(NormSpec? norm) => norm is null ? null : Norm.Load(source, norm, config.NormEpsilon, device, dtype, own);
    }

    /// <summary>The names behind this block.</summary>
    public BlockLayout Layout { get; }

    internal Norm AttentionNorm => _attentionNorm;

    internal Norm? MlpNorm => _mlpNorm;

    internal Norm? QueryNorm => _attention.QueryNorm;

    internal Norm? KeyNorm => _attention.KeyNorm;

    internal JoinedLinears Joined { get; }

    /// <summary>Loads one block.</summary>
    /// <param name="config">The decoder.</param>
    /// <param name="layout">Which block.</param>
    /// <param name="source">The checkpoint; must outlive the block unless <paramref name="own"/>.</param>
    /// <param name="device">Where to.</param>
    /// <param name="dtype">Type of weights and activations.</param>
    /// <param name="linears">How linear layers are stored; null for plain weights.</param>
    /// <param name="own">Memory of its own instead of views of the mapped file.</param>
    /// <exception cref="InvalidInputException">A tensor is missing or has another shape.</exception>
    public static TransformerBlock Load(
        DecoderConfig config, BlockLayout layout, ITensorSource source, Device device, ScalarType dtype, ILinearLoader? linears = null, bool own = false) =>
        new(config, layout, source, device, dtype, linears ?? new DenseLinearLoader(own), own);

    /// <summary>The linear layer of that role; throws where the family has none.</summary>
    public ILinear Linear(LinearRole role) => _linears[role];

    /// <summary>Puts another layer in place of one; the old one is returned, not disposed.</summary>
    public ILinear Replace(LinearRole role, ILinear linear)
    {
        var old = _linears[role];
        _linears[role] = linear;
        Joined.Reset();
        return old;
    }

    /// <param name="x">[batch, count, hidden]</param>
    /// <param name="context">From <see cref="Transformer.Context"/> of this model or of one of the same shape.</param>
    /// <returns>[batch, count, hidden]</returns>
    public Tensor forward(Tensor x, ForwardContext context)
    {
        using var scope = torch.NewDisposeScope();
        var result = _config.Order switch
        {
            BlockOrder.PreNorm => PreNorm(x, context),
            BlockOrder.PostNorm => PostNorm(x, context),
            BlockOrder.ParallelOneNorm => ParallelOneNorm(x, context),
            BlockOrder.NormBeforeAndAfter => NormBeforeAndAfter(x, context),
            BlockOrder.NormAfter => NormAfter(x, context),
            BlockOrder.ParallelTwoNorms => x + _attention.forward(_attentionNorm.forward(x), context) + _mlp.forward(_mlpNorm!.forward(x)),
            _ => throw new InvalidOperationException($"block order {_config.Order}"),
        };
        return result.MoveToOuterDisposeScope();
    }

    /// <summary>Everything that can be trained, under its stored name.</summary>
    public IEnumerable<(string Name, Tensor Value)> Parameters()
    {
        foreach (var spec in Layout.Linears)
        {
            foreach (var (name, value) in _linears[spec.Role].Parameters())
                yield return ($"{spec.Module}.{name}", value);
        }
        foreach (var parameter in Norms.SelectMany(norm => norm.Parameters()).Concat(_attention.Parameters()))
            yield return parameter;
    }

    public void Dispose()
    {
        foreach (var linear in _linears.Values)
            linear.Dispose();
        Joined.Dispose();
        foreach (var norm in Norms)
            norm.Dispose();
        _attention.Dispose();
        _mlp.Dispose();
    }

    private IEnumerable<Norm> Norms => new[] { _attentionNorm, _attentionOutputNorm, _mlpNorm, _mlpOutputNorm }.OfType<Norm>();

    private Tensor PreNorm(Tensor x, ForwardContext context)
    {
        var (middle, normed) = _mlpNorm!.forward(x, Scaled(_attention.forward(_attentionNorm.forward(x), context)));
        return middle + Scaled(_mlp.forward(normed));

        Tensor Scaled(Tensor branch) => _config.ResidualScale == 1 ? branch : branch * _config.ResidualScale;
    }

    private Tensor NormBeforeAndAfter(Tensor x, ForwardContext context)
    {
        var (middle, normed) = _mlpNorm!.forward(x, _attentionOutputNorm!.forward(_attention.forward(_attentionNorm.forward(x), context)));
        return middle + _mlpOutputNorm!.forward(_mlp.forward(normed));
    }

    private Tensor NormAfter(Tensor x, ForwardContext context)
    {
        var middle = x + _attentionNorm.forward(_attention.forward(x, context));
        return middle + _mlpNorm!.forward(_mlp.forward(middle));
    }

    private Tensor PostNorm(Tensor x, ForwardContext context)
    {
        var middle = _attentionNorm.forward(x + _attention.forward(x, context));
        return _mlpNorm!.forward(middle + _mlp.forward(middle));
    }

    private Tensor ParallelOneNorm(Tensor x, ForwardContext context)
    {
        var normed = _attentionNorm.forward(x);
        return x + _attention.forward(normed, context) + _mlp.forward(normed);
    }
}
