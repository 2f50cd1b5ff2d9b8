using Qbb.Models.Decoder;
using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.OutputAware;

namespace Qbb.Quantizer.Calibration;

/// <summary>Sequences on their way through a model, block by block: the hidden states before the present one, and the end of it all.</summary>
internal sealed class SensitivityStream(Transformer model, SequenceBatches batches, SensitivityOptions options) : IDisposable
{
    private readonly ForwardContext[] _contexts =
        [.. Enumerable.Range(0, batches.Count).Select(batch => model.Context(batches.RowsOf(batch), batches.LengthOf(batch)))];
    private readonly Activations _states = new(null, batches.Count);
    private readonly Tensor?[] _truth = new Tensor?[batches.Count];

    /// <summary>Brings the sequences before the first block.</summary>
    /// <param name="withTruth">Keep the model's own log-probabilities [positions, vocabulary], to measure divergences from.</param>
    /// <param name="cancellation">Stops between batches.</param>
    public void Start(bool withTruth, CancellationToken cancellation)
    {
        for (var batch = 0; batch < batches.Count; batch++)
        {
            cancellation.ThrowIfCancellationRequested();
            using var scope = torch.NewDisposeScope();
            var x = model.embed(batches.Read(batch), _contexts[batch]);
            _states.Put(batch, x);
            if (!withTruth)
                continue;
            foreach (var block in model.Blocks)
                x = block.forward(x, _contexts[batch]);
            _truth[batch] = LogProbabilities(model.norm(x).flatten(0, 1)).DetachFromDisposeScope();
        }
    }

    /// <summary>Goes on behind a block.</summary>
    public void Pass(int block, CancellationToken cancellation) => Forward(block, (batch, x) => _states.Put(batch, x), cancellation);

    /// <summary>Second moments of the inputs of a block's layers.</summary>
    public BlockStatistics Capture(int index, CancellationToken cancellation)
    {
        var block = model.Blocks[index];
        var groups = CaptureStages.Of(model.Config.Order, block.Layout).SelectMany(stage => stage).Where(group => group.Count > 0);
        var statistics = new BlockStatistics(groups);
        var inner = new List<(LinearRole Role, ILinear Linear)>();
        foreach (var (spec, inputs) in statistics.Firsts)
            inner.Add((spec.Role, block.Replace(spec.Role, new TapLinear(block.Linear(spec.Role), inputs))));
        try
        {
            Forward(index, (_, _) => { }, cancellation);
        }
        finally
        {
            foreach (var (role, linear) in inner)
                block.Replace(role, linear).Dispose();
        }
        return statistics;
    }

    /// <summary>KL(model ‖ model with one layer changed) in nats per position.</summary>
    /// <param name="index">The block that the sequences stand before.</param>
    /// <param name="role">The layer.</param>
    /// <param name="changed">What takes its place meanwhile.</param>
    /// <param name="cancellation">Stops between batches.</param>
    public double DivergenceWith(int index, LinearRole role, ILinear changed, CancellationToken cancellation)
    {
        var original = model.Blocks[index].Replace(role, changed);
        var (sum, positions) = (0.0, 0L);
        try
        {
            Forward(index, (batch, x) =>
            {
                for (var next = index + 1; next < model.Blocks.Count; next++)
                    x = model.Blocks[next].forward(x, _contexts[batch]);
                sum += Divergence(_truth[batch]!, model.norm(x).flatten(0, 1));
                positions += _truth[batch]!.size(0);
            }, cancellation);
        }
        finally
        {
            model.Blocks[index].Replace(role, original);
        }
        return sum / positions;
    }

    public void Dispose()
    {
        _states.Dispose();
        foreach (var context in _contexts)
            context.Dispose();
        foreach (var truth in _truth)
            truth?.Dispose();
    }

    private void Forward(int block, Action<int, Tensor> use, CancellationToken cancellation)
    {
        for (var batch = 0; batch < batches.Count; batch++)
        {
            cancellation.ThrowIfCancellationRequested();
            using var scope = torch.NewDisposeScope();
            use(batch, model.Blocks[block].forward(_states.Get(batch, options.Device, options.DType), _contexts[batch]));
        }
    }

    private Tensor LogProbabilities(Tensor hidden)
    {
        using var scope = torch.NewDisposeScope();
        var parts = new List<Tensor>();
        foreach (var (start, length) in PositionChunks.Of(hidden.size(0), model.Config.VocabularySize))
            parts.Add(torch.nn.functional.log_softmax(model.head(hidden.narrow(0, start, length)).to(ScalarType.Float32), -1));
        return torch.cat([.. parts]).MoveToOuterDisposeScope();
    }

    private double Divergence(Tensor truth, Tensor hidden)
    {
        var sum = 0.0;
        foreach (var (start, length) in PositionChunks.Of(hidden.size(0), model.Config.VocabularySize))
        {
            using var scope = torch.NewDisposeScope();
            var expected = truth.narrow(0, start, length);
            var found = torch.nn.functional.log_softmax(model.head(hidden.narrow(0, start, length)).to(ScalarType.Float32), -1);
            sum += (expected.exp() * (expected - found)).sum(-1).to(ScalarType.Float64).sum().ToDouble();
        }
        return sum;
    }
}

/// <summary>Second moments of the inputs of one block's layers; layers that read the same inputs share them.</summary>
/// <param name="groups">Groups of layers that read one and the same input.</param>
internal sealed class BlockStatistics(IEnumerable<IReadOnlyList<LinearSpec>> groups) : IDisposable
{
    private readonly List<(IReadOnlyList<LinearSpec> Layers, InputStatistics Statistics)> _groups =
        [.. groups.Select(group => (group, new InputStatistics(group[0].InFeatures)))];

    /// <summary>Of every group the layer whose inputs are looked at.</summary>
    public IEnumerable<(LinearSpec Spec, InputStatistics Statistics)> Firsts => _groups.Select(group => (group.Layers[0], group.Statistics));

    public InputStatistics Of(LinearSpec spec) => _groups.First(group => group.Layers.Contains(spec)).Statistics;

    public void Dispose() => _groups.ForEach(group => group.Statistics.Dispose());
}
