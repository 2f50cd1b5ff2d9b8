using Qbb.Bases.Cpu;
using Qbb.Checkpoints;
using Qbb.Models.Decoder;

namespace Qbb.Inference.Decoding;

/// <summary>One transformer block. Every thread calls <see cref="Run"/>; each has its share of the outputs of every step.</summary>
internal sealed unsafe class CpuBlock : IDisposable
{
    private readonly DecoderConfig _config;
    private readonly Dictionary<LinearRole, CpuLinear> _linears;
    private readonly CpuLinear[] _projections;
    private readonly CpuLinear[] _inner;
    private readonly RowNorm _attentionNorm;
    private readonly RowNorm? _attentionOutputNorm;
    private readonly RowNorm? _mlpNorm;
    private readonly RowNorm? _mlpOutputNorm;
    private readonly RowNorm? _queryNorm;
    private readonly RowNorm? _keyNorm;
    private readonly AttentionView _view;
    private readonly bool _rotates;

    /// <exception cref="InvalidInputException">A tensor is missing or has another shape.</exception>
    public CpuBlock(DecoderConfig config, BlockLayout layout, ITensorSource source, CpuDecoderOptions options, int? groupSize, KernelCache store)
    {
        _config = config;
        _linears = layout.Linears.ToDictionary(spec => spec.Role, spec => CpuLinear.Load(source, spec, options, groupSize, store));
        _projections = Of(LinearRole.Query, LinearRole.Key, LinearRole.Value, LinearRole.QueryKeyValue);
        _inner = Of(LinearRole.Gate, LinearRole.Up, LinearRole.GateUp);
        _attentionNorm = Norm(layout.AttentionNorm)!;
        (_attentionOutputNorm, _mlpNorm, _mlpOutputNorm) = (Norm(layout.AttentionOutputNorm), Norm(layout.MlpNorm), Norm(layout.MlpOutputNorm));
        (_queryNorm, _keyNorm) = (Norm(layout.QueryNorm), Norm(layout.KeyNorm));
        _view = new AttentionView(layout.Index, config.Windows[layout.Index] ?? 0, (float)(config.AttentionSoftCap ?? 0));
        _rotates = config.Rope is not null && config.Rotates?[layout.Index] != false;

        CpuLinear[] Of(params LinearRole[] roles) => [.. roles.Where(_linears.ContainsKey).Select(role => _linears[role])];
        RowNorm? Norm(NormSpec? spec) => spec is null ? null : new RowNorm(source, spec, config.NormEpsilon);
    }

    /// <summary>Passes the residual stream through the block; returns where it is then.</summary>
    /// <param name="pass">What the threads share.</param>
    /// <param name="x">The stream [rows, hidden].</param>
    /// <param name="thread">Which share.</param>
    /// <param name="input">The thread's tables.</param>
    public float* Run(CpuPass pass, float* x, int thread, CpuInput input)
    {
        switch (_config.Order)
        {
            case BlockOrder.PreNorm:
            case BlockOrder.NormBeforeAndAfter:
                Attend(pass, Normed(pass, _attentionNorm, x, thread), thread, input);
                Add(pass, x, pass.Branch, _linears[LinearRole.AttentionOutput], _attentionOutputNorm, thread);
                FeedForward(pass, Normed(pass, _mlpNorm!, x, thread), pass.Branch, thread, input);
                Add(pass, x, pass.Branch, _linears[LinearRole.Down], _mlpOutputNorm, thread);
                return x;
            case BlockOrder.NormAfter:
                Attend(pass, x, thread, input);
                Add(pass, x, pass.Branch, _linears[LinearRole.AttentionOutput], _attentionNorm, thread);
                FeedForward(pass, x, pass.Branch, thread, input);
                Add(pass, x, pass.Branch, _linears[LinearRole.Down], _mlpNorm, thread);
                return x;
            case BlockOrder.PostNorm:
                var other = x == pass.X ? pass.Other : pass.X;
                Attend(pass, x, thread, input);
                Add(pass, x, pass.Branch, _linears[LinearRole.AttentionOutput], null, thread);
                NormInto(pass, _attentionNorm, x, other, thread);
                FeedForward(pass, other, pass.Branch, thread, input);
                Add(pass, other, pass.Branch, _linears[LinearRole.Down], null, thread);
                NormInto(pass, _mlpNorm!, other, x, thread);
                return x;
            default:
                // The branches stand side by side: the stream changes when both are done.
                var normed = Normed(pass, _attentionNorm, x, thread);
                Attend(pass, normed, thread, input);
                FeedForward(pass, _mlpNorm is null ? normed : Normed(pass, _mlpNorm, x, thread), pass.MlpBranch, thread, input);
                Add(pass, x, pass.Branch, _linears[LinearRole.AttentionOutput], null, thread);
                Add(pass, x, pass.MlpBranch, _linears[LinearRole.Down], null, thread);
                return x;
        }
    }

    public void Dispose()
    {
        foreach (var linear in _linears.Values)
            linear.Dispose();
    }

    /// <summary>Into the shared buffer: for a row or two the meeting costs less than the same work on every thread.</summary>
    private float* Normed(CpuPass pass, RowNorm norm, float* x, int thread)
    {
        NormInto(pass, norm, x, pass.Normed, thread);
        return pass.Normed;
    }

    private void NormInto(CpuPass pass, RowNorm norm, float* from, float* to, int thread)
    {
        var hidden = _config.HiddenSize;
        for (var row = thread; row < pass.Rows.Length; row += pass.Team.Count)
            norm.Apply(from + (long)row * hidden, to + (long)row * hidden, hidden, 0, hidden);
        pass.Team.Meet();
    }

    /// <summary>x += branch, or its norm, in this thread's columns.</summary>
    private void Add(CpuPass pass, float* x, float* branch, CpuLinear linear, RowNorm? norm, int thread)
    {
        if (norm is not null)
            pass.Team.Meet();
        var (firstTile, lastTile) = pass.Share(linear.Tiles, thread);
        var (first, last) = (firstTile * CpuLinear.TileRows, Math.Min(lastTile * CpuLinear.TileRows, _config.HiddenSize));
        for (var row = 0; row < pass.Rows.Length && first < last; row++)
        {
            var to = x + (long)row * _config.HiddenSize;
            var from = branch + (long)row * linear.Stride;
            if (norm is null)
                Elements.AddScaled(to + first, from + first, last - first, (float)_config.ResidualScale);
            else
                norm.Apply(from, to, _config.HiddenSize, first, last, adds: true);
        }
        pass.Team.Meet();
    }

    /// <summary>Leaves this thread's columns of attention's output in the branch.</summary>
    private void Attend(CpuPass pass, float* x, int thread, CpuInput input)
    {
        var rows = pass.Rows.Length;
        var outputs = (stackalloc nint[_projections.Length]);
        var next = pass.Projections;
        for (var k = 0; k < outputs.Length; k++)
        {
            outputs[k] = (nint)next;
            next += (long)rows * _projections[k].Stride;
        }
        pass.Multiply(_projections, x, _config.HiddenSize, rows, outputs, thread, input);
        pass.Team.Meet();
        var heads = new HeadPlaces(_config, _projections, outputs);
        Rotate(pass, heads, thread);
        pass.Team.Meet();
        var groups = _config.KeyValueHeadCount;
        var (perGroup, width) = (_config.HeadCount / groups, _config.HeadCount * _config.HeadDimension);
        for (var job = thread; job < pass.Tiles.Length * groups; job += pass.Team.Count)
        {
            ref readonly var tile = ref pass.Tiles[job / groups];
            var group = job % groups;
            var output = pass.Mixed + (long)tile.Row * width + group * perGroup * _config.HeadDimension;
            pass.Attention.Attend(tile, group, _view, pass.Queries + (output - pass.Mixed), width, output, width, pass.Scratch(thread));
        }
        pass.Team.Meet();
        pass.Multiply(_linears[LinearRole.AttentionOutput], pass.Mixed, width, rows, pass.Branch, thread, input);
    }

    /// <summary>Norms and turns queries and keys, and puts keys and values into the cache.</summary>
    private void Rotate(CpuPass pass, in HeadPlaces heads, int thread)
    {
        var (groups, head) = (_config.KeyValueHeadCount, _config.HeadDimension);
        var perRow = _config.HeadCount + groups;
        var scale = (float)_config.ScaleOf(_view.Block);
        var turned = stackalloc float[head];
        for (var unit = thread; unit < pass.Rows.Length * perRow; unit += pass.Team.Count)
        {
            var (index, part) = Math.DivRem(unit, perRow);
            var row = pass.Rows[index];
            var rotation = !_rotates ? null : _view.Window > 0 ? row.LocalRotation : row.Rotation;
            var isQuery = part < _config.HeadCount;
            var place = isQuery ? heads.Query(index, part) : heads.Key(index, part - _config.HeadCount);
            var norm = isQuery ? _queryNorm : _keyNorm;
            if (norm is null)
                new ReadOnlySpan<float>(place, head).CopyTo(new Span<float>(turned, head));
            else if (_config.QkNorm == QkNorm.RmsOfAllHeads)
                norm.Part(isQuery ? heads.Query(index, 0) : heads.Key(index, 0), (isQuery ? _config.HeadCount : groups) * head, (isQuery ? part : part - _config.HeadCount) * head, turned, head);
            else
                norm.Apply(place, turned, head, 0, head);
            rotation?.Turn(turned, row.Position);
            if (isQuery)
            {
                Elements.Scale(turned, head, scale);
                new ReadOnlySpan<float>(turned, head).CopyTo(new Span<float>(pass.Queries + ((long)index * _config.HeadCount + part) * head, head));
            }
            else
            {
                pass.Attention.Store(row.Sequence, row.Position, _view.Block, part - _config.HeadCount, turned, heads.Value(index, part - _config.HeadCount));
            }
        }
    }

    /// <summary>Leaves this thread's columns of the MLP's output in the branch.</summary>
    private void FeedForward(CpuPass pass, float* x, float* branch, int thread, CpuInput input)
    {
        var rows = pass.Rows.Length;
        var gate = _inner[0];
        var up = pass.Inner + (long)rows * gate.Stride;
        var outputs = (stackalloc nint[] { (nint)pass.Inner, (nint)up })[.._inner.Length];
        pass.Multiply(_inner, x, _config.HiddenSize, rows, outputs, thread, input);
        var isFused = _config.Mlp == MlpKind.Gated && _inner.Length == 1;
        if (isFused)
            pass.Team.Meet();
        // Gate and up have as many tiles, so that a thread has both of its columns; of a fused layer it may have neither.
        var (firstTile, lastTile) = pass.Share((_config.IntermediateSize + CpuLinear.TileRows - 1) / CpuLinear.TileRows, thread);
        var (first, last) = (firstTile * CpuLinear.TileRows, Math.Min(lastTile * CpuLinear.TileRows, _config.IntermediateSize));
        for (var row = 0; row < rows && first < last; row++)
        {
            var place = pass.Inner + (long)row * gate.Stride + first;
            var other = _config.Mlp == MlpKind.Plain ? null : isFused ? place + _config.IntermediateSize : up + (long)row * gate.Stride + first;
            Elements.Activate(_config.Activation, place, other, last - first);
        }
        pass.Team.Meet();
        pass.Multiply(_linears[LinearRole.Down], pass.Inner, gate.Stride, rows, branch, thread, input);
    }

    /// <summary>Where the heads lie in the projections' outputs.</summary>
    private readonly ref struct HeadPlaces
    {
        private readonly float* _queries;
        private readonly float* _keys;
        private readonly float* _values;
        private readonly int _keyStride;
        private readonly int _valueStride;

        /// <summary>Floats from one head to the next, in all three.</summary>
        private readonly int _step;

        public HeadPlaces(DecoderConfig config, CpuLinear[] linears, ReadOnlySpan<nint> outputs)
        {
            (_step, QueryStride) = (config.HeadDimension, linears[0].Stride);
            _queries = (float*)outputs[0];
            if (config.Packing == QkvPacking.Separate)
            {
                (_keyStride, _valueStride) = (linears[1].Stride, linears[2].Stride);
                _keys = (float*)outputs[1];
                _values = (float*)outputs[2];
                return;
            }
            (_keyStride, _valueStride) = (QueryStride, QueryStride);
            var interleaved = config.Packing == QkvPacking.InterleavedByHead;
            _keys = _queries + (interleaved ? 1 : config.HeadCount) * config.HeadDimension;
            _values = _keys + (interleaved ? 1 : config.KeyValueHeadCount) * config.HeadDimension;
            if (interleaved)
                _step = 3 * config.HeadDimension;
        }

        private int QueryStride { get; }

        public float* Query(int row, int head) => _queries + (long)row * QueryStride + (long)head * _step;

        public float* Key(int row, int group) => _keys + (long)row * _keyStride + (long)group * _step;

        public float* Value(int row, int group) => _values + (long)row * _valueStride + (long)group * _step;
    }
}
