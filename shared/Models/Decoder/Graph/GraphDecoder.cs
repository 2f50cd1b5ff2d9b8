using Qbb.Cuda;

namespace Qbb.Models.Decoder.Graph;

/// <summary>
/// The token step of a decoder as one CUDA graph: the same logits as <see cref="Transformer.forward"/> for one new token a sequence, without
/// a launch by the host for each of its kernels. Tokens, positions and lengths are in the GPU's memory, so that one graph serves all steps. It
/// works on the memory of a <see cref="KvCache"/>, which must live as long.
/// </summary>
public sealed class GraphDecoder : IDisposable
{
    /// <summary>Most sequences at a time.</summary>
    public const int MostSequences = 16;

    private readonly Transformer _model;
    private readonly KvCache _cache;
    private readonly StepKernels _kernels;
    private readonly List<Tensor> _memory = [];
    private readonly Tensor _positions, _starts, _history, _x, _normed, _qkv, _mixed, _gateUp, _inner, _partial, _cos, _sin;
    private readonly int _splits;
    private readonly CudaGraph _graph;

    /// <param name="model">A decoder that <see cref="Supports"/> names.</param>
    /// <param name="cache">Its cache, with room for one token at least.</param>
    public GraphDecoder(Transformer model, KvCache cache)
    {
        (_model, _cache) = (model, cache);
        var (config, device, dtype) = (model.Config, model.Device, model.DType);
        int batch = cache.Batch, capacity = cache.Capacity, heads = config.HeadCount, groups = config.KeyValueHeadCount, head = config.HeadDimension;
        using var off = torch.no_grad();
        _kernels = new StepKernels(device, dtype, heads, groups, head);
        _splits = _kernels.SplitsFor(batch, capacity);
        using var scope = torch.NewDisposeScope();
        try
        {
            var (cos, sin) = model.Rope!.Range(0, capacity, capacity);
            (_cos, _sin) = (Keep(cos), Keep(sin));
            Ids = Keep(torch.zeros([batch], ScalarType.Int64, device));
            _positions = Keep(torch.zeros([batch], ScalarType.Int32, device));
            _starts = Keep(torch.tensor([.. Enumerable.Range(0, batch).Select(row => (long)(cache.Padding?[row] ?? 0))], batch).to(ScalarType.Int32, device));
            // The last place there is room for has a token after it, too.
            _history = Keep(torch.zeros([batch, capacity + 1], ScalarType.Int32, device));
            _x = New(config.HiddenSize);
            _normed = New(config.HiddenSize);
            _qkv = New((heads + 2 * groups) * head);
            _mixed = New(heads * head);
            _gateUp = New(2 * config.IntermediateSize);
            _inner = New(config.IntermediateSize);
            Logits = New(config.VocabularySize);
            _partial = Keep(torch.empty([batch, heads, _splits, head + 2], ScalarType.Float32, device));
            Begin(new long[batch]);
            _graph = Capture();
            Tensor New(long width) => Keep(torch.zeros([batch, width], dtype, device));
        }
        catch
        {
            Free();
            throw;
        }
    }

    /// <summary>The tokens that the next step reads, i64 [batch]; a step puts the likeliest next ones there.</summary>
    public Tensor Ids { get; }

    /// <summary>What the last step gave, [batch, vocabulary].</summary>
    public Tensor Logits { get; }

    /// <summary>Whether a model and a number of sequences can be decoded like this.</summary>
    public static bool Supports(Transformer model, int batch)
    {
        var config = model.Config;
        return model.Device.type == DeviceType.CUDA && batch is >= 1 and <= MostSequences && Nvrtc.IsAvailable()
            && model.DType is ScalarType.Float16 or ScalarType.BFloat16
            && config is { Order: BlockOrder.PreNorm, Norm: NormKind.Rms or NormKind.RmsPlusOne, FinalNorm: true, Mlp: MlpKind.Gated, Rope.DependsOnLength: false }
            && config is { HasUsualAttention: true, ResidualScale: 1, LogitDivisor: 1, LogitSoftCap: null }
            && config.Activation is Activation.Silu or Activation.GeluTanh && config.QkNorm is not QkNorm.LayerNorm
            && config.Packing != QkvPacking.InterleavedByHead && config.EmbeddingSize == config.HiddenSize
            && config.HiddenSize % 8 == 0 && config.IntermediateSize % 8 == 0 && config.HeadDimension % 8 == 0 && config.HeadDimension <= 256
            && (model.Head is null || Writes(model.Head)) && model.Blocks.All(block =>
                Writes(block.Joined.QueryKeyValue) && Writes(block.Joined.GateUp)
                && Writes(block.Linear(LinearRole.AttentionOutput)) && Writes(block.Linear(LinearRole.Down)));

        bool Writes(ILinear? linear) => linear is IGraphLinear layer && layer.CanWrite(batch, model.DType);
    }

    /// <summary>The next step is the one behind what the cache holds.</summary>
    /// <param name="next">One token a sequence, which that step reads.</param>
    public void Begin(ReadOnlySpan<long> next)
    {
        if (_cache.Length >= _cache.Capacity)
            throw new InvalidInputException($"the cache of {_cache.Capacity} tokens is full; make it larger or generate fewer");
        using var scope = torch.NewDisposeScope();
        Ids.copy_(torch.tensor(next.ToArray(), next.Length));
        _positions.fill_(_cache.Length);
    }

    /// <summary>
    /// Queues one step: the tokens of <see cref="Ids"/> go into the cache at the sequences' positions, <see cref="Logits"/> are those of the next
    /// ones, and the likeliest of them become the new <see cref="Ids"/>. There must be room in the cache; the caller keeps its count.
    /// </summary>
    public void Step() => _graph.Replay();

    /// <summary>One step behind what the cache holds, with the given tokens, which are then part of its past.</summary>
    public void Step(ReadOnlySpan<long> next)
    {
        Begin(next);
        Step();
        _cache.Advance(next);
    }

    /// <summary>The tokens that steps chose (−1 where the logits were no numbers), those of places [first, first + count) of every sequence; waits for the GPU.</summary>
    /// <returns>[batch, count]</returns>
    public int[] Chosen(int first, int count)
    {
        using var scope = torch.NewDisposeScope();
        return _history.narrow(1, first, count).contiguous().flatten().ToArray<int>();
    }

    public void Dispose()
    {
        torch.cuda.synchronize(_model.Device);
        _graph.Dispose();
        Free();
    }

    // A decoder outlives the scope it is made in.
    private Tensor Keep(Tensor tensor)
    {
        _memory.Add(tensor.DetachFromDisposeScope());
        return tensor;
    }

    private void Free()
    {
        foreach (var tensor in _memory)
            tensor.Dispose();
    }

    private CudaGraph Capture()
    {
        torch.cuda.synchronize(_model.Device);
        CudaGraph graph;
        using (new CudaStream(_model.Device).Use())
        {
            // Once before: kernels are compiled and libtorch's libraries take their memory. The place it writes to is written again.
            Queue();
            torch.cuda.synchronize(_model.Device);
            graph = CudaGraph.Capture(_model.Device, Queue);
        }
        torch.cuda.synchronize(_model.Device);
        return graph;
    }

    private void Queue()
    {
        using var scope = torch.NewDisposeScope();
        using var off = torch.no_grad();
        _kernels.Embed(Ids, _model.Embedding, _x, _model.EmbeddingScale);
        foreach (var block in _model.Blocks)
            Block(block);
        Norm(_model.FinalNorm!);
        if (_model.Head is IGraphLinear head)
            head.Write(_normed, null, Logits);
        else
            torch.mm_out(_normed, _model.Embedding.t(), Logits);
        _kernels.Pick(Logits, Ids, _positions, _history);
    }

    private void Block(TransformerBlock block)
    {
        var (config, index) = (_model.Config, block.Layout.Index);
        var (keys, values) = _cache.Whole(index);
        Normed(block.AttentionNorm, block.Joined.QueryKeyValue!, _qkv);
        _kernels.Attend(_qkv, block.QueryNorm?.Weight, block.KeyNorm?.Weight, _cos, _sin, _positions, _starts, keys, values, _mixed, _partial,
            config.Windows[index] ?? 0, _splits, config.ScaleOf(index), config.NormEpsilon);
        ((IGraphLinear)block.Linear(LinearRole.AttentionOutput)).Write(_mixed, _x, _x);
        Normed(block.MlpNorm!, block.Joined.GateUp!, _gateUp);
        var down = (IGraphLinear)block.Linear(LinearRole.Down);
        if (config.Activation == Activation.Silu && down.TryWriteGated(_gateUp, _x, _x))
            return;
        _kernels.Gate(_gateUp, _inner, config.Activation);
        down.Write(_inner, _x, _x);
    }

    private void Normed(Norm norm, IGraphLinear layer, Tensor y)
    {
        if (layer.TryWriteNormed(_x, norm.Weight!, _model.Config.NormEpsilon, norm.IsPlusOne, y))
            return;
        Norm(norm);
        layer.Write(_normed, null, y);
    }

    private void Norm(Norm norm) => _kernels.Norm(_x, norm.Weight!, _normed, _model.Config.NormEpsilon, norm.IsPlusOne);
}
