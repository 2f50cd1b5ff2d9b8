using Qbb.Bases;
using Qbb.Bases.Cpu;
using Qbb.Checkpoints;
using Qbb.Models.Decoder;

namespace Qbb.Inference.Decoding;

/// <summary>How a <see cref="CpuDecoder"/> calculates.</summary>
public sealed record CpuDecoderOptions
{
    /// <summary>Threads; null for the processors of this process.</summary>
    public int? Threads { get; init; }

    /// <summary>Instructions of the products with binary bases; null for the best that the processor has.</summary>
    public CpuInstructions? Instructions { get; init; }

    /// <summary>Of a nested model only the first planes; null for all.</summary>
    public int? Bases { get; init; }

    /// <summary>How keys and values are kept.</summary>
    public KvPrecision Cache { get; init; } = KvPrecision.Int16;
}

/// <summary>How a cache keeps keys and values; integers have a scale per head and position.</summary>
public enum KvPrecision
{
    /// <summary>fp32.</summary>
    Single,

    /// <summary>16 bits, of which all but the sign's are precision, where fp16 has 11.</summary>
    Int16,

    /// <summary>8 bits.</summary>
    Int8,
}

/// <summary>
/// Decodes on a CPU without libtorch: weights stay packed, or as the file has them, and activations are fp32. Threads share the rows of every
/// product and meet between the steps of a block.
/// </summary>
public sealed unsafe class CpuDecoder : IDecoder
{
    /// <summary>Tokens of one pass at most: bounds the memory of a long prompt.</summary>
    private const int MostRows = 256;

    /// <summary>Tokens whose attention one thread calculates together.</summary>
    private const int TileTokens = 16;

    private readonly ITensorSource _source;
    private readonly DecoderLayout _layout;
    private readonly CpuBlock[] _blocks;
    private readonly WeightRows? _positions;
    private readonly CpuLinear? _projectIn;
    private readonly CpuLinear? _projectOut;
    private readonly CpuLinear _head;
    private readonly RowNorm? _finalNorm;
    private readonly Rotations? _rope;
    private readonly Rotations? _localRope;
    private readonly KernelCache _store;
    private readonly KvPool _pool;
    private readonly ThreadTeam _team;
    private readonly CpuInput[] _inputs;
    private readonly CpuPass _pass;

    /// <param name="config">The decoder.</param>
    /// <param name="source">The checkpoint; must outlive the decoder.</param>
    /// <param name="groupSize">Of binary bases: columns that share a scale; null for the row.</param>
    /// <param name="options">How to calculate.</param>
    /// <exception cref="InvalidInputException">A tensor is missing or has another shape than the configuration says.</exception>
    public CpuDecoder(DecoderConfig config, ITensorSource source, int? groupSize = null, CpuDecoderOptions? options = null)
        : this(config, source, groupSize, options ?? new(), KernelCache.InMemory)
    {
    }

    private CpuDecoder(DecoderConfig config, ITensorSource source, int? groupSize, CpuDecoderOptions options, Func<long, KernelCache> store)
    {
        (Config, _source) = (config, source);
        _layout = DecoderLayout.Resolve(config, source);
        var headSpec = _layout.Head ?? new(-1, _layout.Embedding[..^".weight".Length], LinearRole.Head, config.VocabularySize, config.EmbeddingSize, false, null, Fusion.None, []);
        _store = store(_layout.Linears.Append(_layout.ProjectIn).Append(_layout.ProjectOut).Append(headSpec).OfType<LinearSpec>()
            .Select(spec => StoredBases.Find(source, spec, options.Bases, groupSize)).OfType<StoredBases>()
            .Sum(bases => KernelCache.Rounded(bases.SizeOf(options.Instructions ?? CpuKernels.Best))));
        WeightRows.Check(source, _layout.Embedding, config.VocabularySize, config.EmbeddingSize);
        _positions = _layout.Positions is { } positions
            ? WeightRows.Of(source, positions[..^".weight".Length], config.MaxPositions + config.PositionOffset, config.HiddenSize) : null;
        _projectIn = Load(_layout.ProjectIn);
        _blocks = [.. _layout.Blocks.Select(block => new CpuBlock(config, block, source, options, groupSize, _store))];
        _finalNorm = _layout.FinalNorm is { } norm ? new RowNorm(source, norm, config.NormEpsilon) : null;
        _projectOut = Load(_layout.ProjectOut);
        _head = Load(headSpec)!;
        _store.Complete();
        _rope = config.Rope is { } rope ? new Rotations(rope) : null;
        _localRope = config.LocalRope is { } local ? new Rotations(local) : null;
        _team = new ThreadTeam(options.Threads ?? Environment.ProcessorCount);
        _inputs = [.. Enumerable.Range(0, _team.Count).Select(_ => new CpuInput())];
        var padded = (config.HeadDimension + KvPool.Lanes - 1) / KvPool.Lanes * KvPool.Lanes;
        _pool = new KvPool(config.BlockCount, config.KeyValueHeadCount, padded, options.Cache switch { KvPrecision.Single => 4, KvPrecision.Int16 => 2, _ => 1 });
        var perGroup = config.HeadCount / config.KeyValueHeadCount;
        CpuAttention attention = options.Cache switch
        {
            KvPrecision.Single => new CpuAttention<SingleRow>(_pool, perGroup, config.HeadDimension),
            KvPrecision.Int16 => new CpuAttention<Int16Row>(_pool, perGroup, config.HeadDimension),
            _ => new CpuAttention<Int8Row>(_pool, perGroup, config.HeadDimension),
        };
        _pass = new CpuPass(config, _team, attention);

        CpuLinear? Load(LinearSpec? spec) => spec is null ? null : CpuLinear.Load(source, spec, options, groupSize, _store);
    }

    public DecoderConfig Config { get; }

    /// <summary>A decoder of a model; the model must outlive it.</summary>
    /// <exception cref="InvalidInputException">The model is damaged, or has no smaller models within.</exception>
    public static CpuDecoder Load(ModelSource model, CpuDecoderOptions? options = null) => new(
        DecoderConfig.FromJson(model.ConfigJson), model.Tensors, BasesGroups.Of(model, options?.Bases)?.Size, options ?? new(), bytes => KernelCache.Open(model, $"{options?.Bases} {StoredBases.IsInBytes(options?.Instructions ?? CpuKernels.Best)}", bytes));

    public IDecoderSequence Begin() => new PagedSequence(_pool);

    public void Step(IReadOnlyList<DecoderInput> inputs, Span<float> logits)
    {
        if (logits.Length != inputs.Count * Config.VocabularySize)
            throw new ArgumentException($"{logits.Length} logits for {inputs.Count} inputs and a vocabulary of {Config.VocabularySize}");
        foreach (var input in inputs)
            Check(input);
        var rows = new List<PassRow>();
        for (var k = 0; k < inputs.Count; k++)
            AddRows(inputs[k], k, rows);
        for (var first = 0; first < rows.Count; first += MostRows)
            Run(rows[first..Math.Min(first + MostRows, rows.Count)], logits);
    }

    public void Dispose()
    {
        _team.Dispose();
        foreach (var block in _blocks)
            block.Dispose();
        foreach (var part in new IDisposable?[] { _positions, _projectIn, _projectOut, _head, _pool, _pass, _store })
            part?.Dispose();
        foreach (var input in _inputs)
            input.Dispose();
    }

    private void Check(DecoderInput input)
    {
        if (input.Tokens.IsEmpty)
            throw new ArgumentException("an input has no tokens");
        foreach (var token in input.Tokens.Span)
        {
            if (token < 0 || token >= Config.VocabularySize)
                throw new InvalidInputException($"token id {token} is outside the vocabulary of {Config.VocabularySize}");
        }
        var length = input.Sequence.Length + input.Tokens.Length;
        if (Config.LearnedPositions && length > Config.MaxPositions)
            throw new InvalidInputException($"{length} tokens are more than the {Config.MaxPositions} positions of this {Config.ModelType} model; shorten the text or the context");
    }

    private void AddRows(DecoderInput input, int index, List<PassRow> rows)
    {
        var sequence = (PagedSequence)input.Sequence;
        var tokens = input.Tokens.ToArray();
        var length = sequence.Length + tokens.Length;
        // A longer sequence may change the angles of its past: then all of it is calculated anew.
        if (sequence.Length > 0 && (_rope?.Changes(sequence.Length, length) == true || _localRope?.Changes(sequence.Length, length) == true))
        {
            tokens = [.. sequence.Tokens, .. tokens];
            sequence.Truncate(0);
        }
        var (rotation, local) = (_rope?.Of(length), _localRope?.Of(length));
        for (var k = 0; k < tokens.Length; k++)
        {
            rows.Add(new PassRow(sequence, sequence.Length, tokens[k], k == tokens.Length - 1 ? index : -1, rotation, local ?? rotation));
            sequence.Append(tokens[k]);
        }
    }

    private void Run(List<PassRow> rows, Span<float> logits)
    {
        var ends = rows.Where(row => row.Output >= 0).Select(row => row.Output).ToArray();
        var tiles = new List<AttentionTile>();
        for (var k = 0; k < rows.Count; k++)
        {
            if (tiles.Count > 0 && tiles[^1].Sequence == rows[k].Sequence && tiles[^1].Count < TileTokens)
                tiles[^1] = tiles[^1] with { Count = tiles[^1].Count + 1 };
            else
                tiles.Add(new AttentionTile(rows[k].Sequence, k, rows[k].Position, 1));
        }
        _pass.Begin([.. rows], [.. tiles], (_projectOut?.Stride ?? 0, _head.Stride));
        _team.Run(Body);
        for (var k = 0; k < ends.Length; k++)
            CopyLogits(_pass.Logits + (long)k * _head.Stride, logits.Slice(ends[k] * Config.VocabularySize, Config.VocabularySize));
    }

    private void CopyLogits(float* from, Span<float> to)
    {
        new ReadOnlySpan<float>(from, to.Length).CopyTo(to);
        if (Config is { LogitDivisor: 1, LogitSoftCap: null })
            return;
        fixed (float* values = to)
        {
            Elements.Scale(values, to.Length, (float)(1 / Config.LogitDivisor));
            if (Config.LogitSoftCap is { } cap)
                Elements.SoftCap(values, to.Length, (float)cap);
        }
    }

    private void Body(int thread)
    {
        var (pass, input) = (_pass, _inputs[thread]);
        for (var row = thread; row < pass.Rows.Length; row += _team.Count)
            Embed(pass, row, input);
        _team.Meet();
        var x = pass.X;
        foreach (var block in _blocks)
            x = block.Run(pass, x, thread, input);
        // Only what follows the last token of each input is predicted.
        var ends = pass.Ends;
        for (var k = thread; k < ends.Length; k += _team.Count)
        {
            var from = x + (long)ends[k] * Config.HiddenSize;
            if (_finalNorm is null)
                new ReadOnlySpan<float>(from, Config.HiddenSize).CopyTo(new Span<float>(pass.Normed + (long)k * Config.HiddenSize, Config.HiddenSize));
            else
                _finalNorm.Apply(from, pass.Normed + (long)k * Config.HiddenSize, Config.HiddenSize, 0, Config.HiddenSize);
        }
        _team.Meet();
        var features = pass.Normed;
        var stride = Config.HiddenSize;
        if (_projectOut is not null)
        {
            pass.Multiply(_projectOut, features, stride, ends.Length, pass.Projected, thread, input);
            _team.Meet();
            features = pass.Projected;
            stride = _projectOut.Stride;
        }
        pass.Multiply(_head, features, stride, ends.Length, pass.Logits, thread, input);
    }

    private void Embed(CpuPass pass, int row, CpuInput input)
    {
        var place = pass.X + (long)row * Config.HiddenSize;
        var token = pass.Rows[row].Token;
        if (_projectIn is null)
        {
            Read(new Span<float>(place, Config.HiddenSize));
        }
        else
        {
            var embedding = stackalloc float[Config.EmbeddingSize];
            var projected = stackalloc float[_projectIn.Stride];
            Read(new Span<float>(embedding, Config.EmbeddingSize));
            _projectIn.Multiply(input.Of(embedding, Config.EmbeddingSize, 1), projected, 0, _projectIn.Tiles);
            new ReadOnlySpan<float>(projected, Config.HiddenSize).CopyTo(new Span<float>(place, Config.HiddenSize));
        }
        _positions?.AddRow(pass.Rows[row].Position + Config.PositionOffset, place);

        void Read(Span<float> embedding)
        {
            _source.ReadFloat(_layout.Embedding, (long)token * Config.EmbeddingSize, embedding);
            if (Config.EmbeddingScale != 1)
            {
                for (var k = 0; k < embedding.Length; k++)
                    embedding[k] *= (float)Config.EmbeddingScale;
            }
        }
    }
}
