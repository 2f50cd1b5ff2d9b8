using Qbb.Checkpoints;

namespace Qbb.Models.Decoder;

/// <summary>
/// The one decoder-only transformer of this project; <see cref="DecoderConfig"/> makes it a LLaMA, a GPT-2, an OPT, … Results belong to the
/// caller's dispose scope. Gradients flow through activations and into parameters that require them; wrap scoring in torch.no_grad().
/// Several threads may run one model at once, each with its own cache.
/// </summary>
public sealed class Transformer : IDisposable
{
    private readonly Tensor _embedding;
    private readonly Tensor? _positions;
    private readonly ILinear? _projectIn;
    private readonly ILinear? _projectOut;
    private readonly Norm? _finalNorm;
    private readonly ILinear? _head;
    private readonly RopeTable? _rope;
    private readonly RopeTable? _localRope;
    private readonly double _embeddingScale;

    private Transformer(DecoderConfig config, ITensorSource source, Device device, ScalarType dtype, ILinearLoader loader, bool own)
    {
        (Config, Device, DType) = (config, device, dtype);
        Layout = DecoderLayout.Resolve(config, source);
        _embedding = WeightLoader.Load(source, Layout.Embedding, [config.VocabularySize, config.EmbeddingSize], device, dtype, own);
        if (Layout.Positions is { } positions)
            _positions = WeightLoader.Load(source, positions, [config.MaxPositions + config.PositionOffset, config.HiddenSize], device, dtype, own);
        _projectIn = Layout.ProjectIn is { } projectIn ? loader.Load(source, projectIn, device, dtype) : null;
        Blocks = [.. Layout.Blocks.Select(block => TransformerBlock.Load(config, block, source, device, dtype, loader, own))];
        _finalNorm = Layout.FinalNorm is { } norm ? Norm.Load(source, norm, config.NormEpsilon, device, dtype, own) : null;
        _projectOut = Layout.ProjectOut is { } projectOut ? loader.Load(source, projectOut, device, dtype) : null;
        _head = Layout.Head is { } head ? loader.Load(source, head, device, dtype) : null;
        _rope = config.Rope is { } rope ? new RopeTable(rope, device, dtype) : null;
        _localRope = config.LocalRope is { } local ? new RopeTable(local, device, dtype) : null;
        _embeddingScale = Rounded(config.EmbeddingScale, dtype);
    }

    public DecoderConfig Config { get; }

    /// <summary>The stored names.</summary>
    public DecoderLayout Layout { get; }

    public Device Device { get; }

    /// <summary>Type of weights and activations.</summary>
    public ScalarType DType { get; }

    public IReadOnlyList<TransformerBlock> Blocks { get; }

    internal Tensor Embedding => _embedding;

    internal double EmbeddingScale => _embeddingScale;

    internal Norm? FinalNorm => _finalNorm;

    /// <summary>Null where the head is the embedding.</summary>
    internal ILinear? Head => _head;

    internal RopeTable? Rope => _rope;

    /// <inheritdoc cref="Load(DecoderConfig, ITensorSource, Device, ScalarType, ILinearLoader?, bool)"/>
    public static Transformer Load(ModelSource model, Device device, ScalarType dtype, ILinearLoader? linears = null, bool own = false) =>
        Load(DecoderConfig.FromJson(model.ConfigJson), model.Tensors, device, dtype, linears, own);

    /// <summary>Loads a model.</summary>
    /// <param name="config">The decoder.</param>
    /// <param name="source">The checkpoint. Weights of the same type on the CPU are views of it: it must outlive the model unless <paramref name="own"/>.</param>
    /// <param name="device">Where to.</param>
    /// <param name="dtype">Type of weights and activations.</param>
    /// <param name="linears">How linear layers are stored; null for plain weights.</param>
    /// <param name="own">Memory of its own instead of views of the mapped file; needed to train.</param>
    /// <exception cref="InvalidInputException">A tensor is missing or has another shape than the configuration says.</exception>
    public static Transformer Load(
        DecoderConfig config, ITensorSource source, Device device, ScalarType dtype, ILinearLoader? linears = null, bool own = false) =>
        new(config, source, device, dtype, linears ?? new DenseLinearLoader(own), own);

    /// <summary>A model of random weights (see <see cref="RandomCheckpoint"/>) in memory of its own, ready to train.</summary>
    public static Transformer Create(DecoderConfig config, ulong seed, Device? device = null, ScalarType dtype = ScalarType.Float32)
    {
        using var source = new RandomCheckpoint(config, seed);
        return Load(config, source, device ?? torch.CPU, dtype, own: true);
    }

    /// <summary>Everything that can be trained, under its stored name; a tied head is the token embedding and comes once.</summary>
    public IEnumerable<(string Name, Tensor Value)> Parameters()
    {
        yield return (Layout.Embedding, _embedding);
        if (_positions is not null)
            yield return (Layout.Positions!, _positions);
        foreach (var parameter in Named(Layout.ProjectIn, _projectIn).Concat(Blocks.SelectMany(block => block.Parameters())))
            yield return parameter;
        foreach (var parameter in (_finalNorm?.Parameters() ?? []).Concat(Named(Layout.ProjectOut, _projectOut)).Concat(Named(Layout.Head, _head)))
            yield return parameter;
    }

    /// <summary>Makes all parameters record gradients, or stop to. The model must own its memory to be trained.</summary>
    public Transformer requires_grad_(bool value = true)
    {
        foreach (var (_, parameter) in Parameters())
            parameter.requires_grad = value;
        return this;
    }

    /// <summary>What the blocks share during one pass; dispose it after.</summary>
    /// <param name="batch">Rows.</param>
    /// <param name="count">Tokens per row in this pass.</param>
    /// <param name="padding">Per row how many of its first tokens only fill it up; null for none.</param>
    public ForwardContext Context(long batch, long count, IReadOnlyList<int>? padding = null) => Context(batch, count, null, padding);

    /// <summary>Token embeddings, with learned positions added where the model has them.</summary>
    /// <param name="ids">i64 [batch, count] on any device.</param>
    /// <param name="context">Where the tokens stand.</param>
    /// <returns>[batch, count, hidden]</returns>
    /// <exception cref="InvalidInputException">An id is outside the vocabulary, or there are more tokens than positions.</exception>
    public Tensor embed(Tensor ids, ForwardContext context)
    {
        using var scope = torch.NewDisposeScope();
        CheckIds(ids);
        var x = torch.nn.functional.embedding(ids.to(Device), _embedding);
        if (_embeddingScale != 1)
            x *= _embeddingScale;
        if (_projectIn is not null)
            x = _projectIn.forward(x);
        if (_positions is not null)
            x += PositionsOf(context);
        return x.MoveToOuterDisposeScope();
    }

    /// <summary>From the last block's output to what the head reads: final norm and, in OPT-350m, the projection.</summary>
    public Tensor norm(Tensor x)
    {
        using var scope = torch.NewDisposeScope();
        var normed = _finalNorm?.forward(x) ?? x.view(x.shape);
        return (_projectOut?.forward(normed) ?? normed).MoveToOuterDisposeScope();
    }

    /// <summary>Logits.</summary>
    /// <param name="x">Of <see cref="norm"/>, at all positions or some: […, embedding].</param>
    /// <returns>[…, vocabulary]</returns>
    public Tensor head(Tensor x)
    {
        if (Config is { LogitDivisor: 1, LogitSoftCap: null })
            return Product(x);
        using var scope = torch.NewDisposeScope();
        var logits = Product(x) / Config.LogitDivisor;
        if (Config.LogitSoftCap is { } cap)
            logits = logits.div(cap).tanh().mul(cap);
        return logits.MoveToOuterDisposeScope();

        Tensor Product(Tensor normed) => _head?.forward(normed) ?? DenseProduct.Apply(normed, _embedding, null);
    }

    /// <summary>Everything but the head: narrow the result to the positions wanted before <see cref="head"/>.</summary>
    /// <param name="ids">i64 [batch, count]</param>
    /// <param name="cache">Tokens before these; these are added to it.</param>
    /// <param name="padding">Per row how many of its first tokens only fill it up; with the first tokens of a cache only.</param>
    /// <returns>[batch, count, embedding]</returns>
    public Tensor hidden(Tensor ids, KvCache? cache = null, IReadOnlyList<int>? padding = null)
    {
        using var scope = torch.NewDisposeScope();
        if (cache is null)
            return Run(ids, null, padding).MoveToOuterDisposeScope();
        cache.Prepare(ids.size(0), ids.size(1), padding);
        var tokens = ids.ToArray<long>();
        var count = ids.size(1);
        if (ChangesThePast(cache, count))
        {
            var all = cache.TokensWith(tokens);
            var kept = cache.Padding;
            cache.Reset();
            cache.Prepare(cache.Batch, all.Length / cache.Batch, kept);
            (ids, tokens) = (torch.tensor(all, cache.Batch, all.Length / cache.Batch), all);
        }
        var x = Run(ids, cache, cache.Padding);
        cache.Advance(tokens);
        return x.narrow(1, x.size(1) - count, count).MoveToOuterDisposeScope();
    }

    /// <summary>Logits of all tokens.</summary>
    /// <inheritdoc cref="hidden"/>
    /// <returns>[batch, count, vocabulary]</returns>
    public Tensor forward(Tensor ids, KvCache? cache = null, IReadOnlyList<int>? padding = null)
    {
        using var scope = torch.NewDisposeScope();
        return head(hidden(ids, cache, padding)).MoveToOuterDisposeScope();
    }

    /// <summary>Writes a Hugging Face folder: config.json and model.safetensors.</summary>
    /// <param name="folder">Made if need be.</param>
    /// <param name="type">F32, BF16 or F16.</param>
    /// <exception cref="InvalidInputException">The folder cannot be written, or a weight is too large for the type.</exception>
    public void Save(string folder, string type = "F32") => DecoderCheckpoint.Write(this, folder, type);

    public void Dispose()
    {
        _embedding.Dispose();
        _positions?.Dispose();
        _projectIn?.Dispose();
        foreach (var block in Blocks)
            block.Dispose();
        _finalNorm?.Dispose();
        _projectOut?.Dispose();
        _head?.Dispose();
        _rope?.Dispose();
        _localRope?.Dispose();
    }

    private ForwardContext Context(long batch, long count, KvCache? cache, IReadOnlyList<int>? padding)
    {
        if (padding is not null && padding.Count != batch)
            throw new ArgumentException($"padding of {padding.Count} rows for a batch of {batch}");
        return new ForwardContext(batch, count, cache, padding is null || padding.All(p => p == 0) ? null : padding, _rope, _localRope, Device, DType);
    }

    private Tensor Run(Tensor ids, KvCache? cache, IReadOnlyList<int>? padding)
    {
        using var scope = torch.NewDisposeScope();
        using var context = Context(ids.size(0), ids.size(1), cache, padding);
        var x = embed(ids, context);
        foreach (var block in Blocks)
        {
            var previous = x;
            x = block.forward(x, context);
            previous.Dispose();
        }
        return norm(x).MoveToOuterDisposeScope();
    }

    private bool ChangesThePast(KvCache cache, long count)
    {
        if (Config.Rope is not { DependsOnLength: true } rope || cache.Length == 0)
            return false;
        return Enumerable.Range(0, cache.Batch).Any(row =>
        {
            var length = cache.Length - (cache.Padding?[row] ?? 0);
            return RopeFrequencies.Regime(rope, length) != RopeFrequencies.Regime(rope, length + count);
        });
    }

    private Tensor PositionsOf(ForwardContext context)
    {
        var last = context.Past + context.Count;
        if (last - (context.Padding?.Min() ?? 0) > Config.MaxPositions)
            throw new InvalidInputException($"{last} tokens are more than the {Config.MaxPositions} positions of this {Config.ModelType} model; shorten the text or the context");
        if (context.Padding is null)
            return _positions!.narrow(0, context.Past + Config.PositionOffset, context.Count);
        var rows = torch.tensor([.. context.Positions().Select(position => position + Config.PositionOffset)], context.Batch, context.Count);
        return torch.nn.functional.embedding(rows.to(Device), _positions!);
    }

    /// <summary>An id outside the table is memory out of bounds on CUDA, so it is caught while the ids are still at hand.</summary>
    private void CheckIds(Tensor ids)
    {
        if (ids.device_type != DeviceType.CPU || ids.numel() == 0)
            return;
        foreach (var id in ids.ToArray<long>())
        {
            if (id < 0 || id >= Config.VocabularySize)
                throw new InvalidInputException($"token id {id} is outside the vocabulary of {Config.VocabularySize}");
        }
    }

    private static IEnumerable<(string Name, Tensor Value)> Named(LinearSpec? spec, ILinear? linear) =>
        linear?.Parameters().Select(parameter => ($"{spec!.Module}.{parameter.Name}", parameter.Value)) ?? [];

    private static double Rounded(double value, ScalarType dtype)
    {
        using var scope = torch.NewDisposeScope();
        return value == 1 ? 1 : torch.tensor(value, dtype).ToDouble();
    }
}
