using System.Runtime.InteropServices;
using Qbb.Bases;
using Qbb.Bases.Cpu;
using Qbb.Checkpoints;
using Qbb.Models.Decoder;

namespace Qbb.Inference.Decoding;

/// <summary>y = Wx + b for a share of the rows; a tile is 32 of them. Weights stay as they are stored, or in the kernels' order.</summary>
internal abstract unsafe class CpuLinear(int outFeatures, int inFeatures) : IDisposable
{
    /// <summary>Rows of a tile.</summary>
    public const int TileRows = ByteTiles.Rows;

    private float[]? _bias;

    public int OutFeatures => outFeatures;

    public int InFeatures => inFeatures;

    public int Tiles => (outFeatures + TileRows - 1) / TileRows;

    /// <summary>Floats from one token's output to the next.</summary>
    public int Stride => Tiles * TileRows;

    /// <param name="source">The checkpoint; must outlive the layer.</param>
    /// <param name="spec">The layer.</param>
    /// <param name="options">Instructions and bases.</param>
    /// <param name="groupSize">Of binary bases: columns that share a scale; null for the row.</param>
    /// <param name="store">Memory of packed weights; must outlive the layer.</param>
    /// <exception cref="InvalidInputException">A tensor is missing or has another shape.</exception>
    public static CpuLinear Load(ITensorSource source, LinearSpec spec, CpuDecoderOptions options, int? groupSize, KernelCache store)
    {
        CpuLinear linear = StoredBases.Find(source, spec, options.Bases, groupSize) is { } bases
            ? new BasesLinear(bases, options.Instructions ?? CpuKernels.Best, store) : RowsLinear.Load(source, spec);
        if (spec.Bias is { } bias)
            linear._bias = WeightRows.Vector(source, bias, spec.OutFeatures);
        return linear;
    }

    /// <summary>The most tokens whose product is calculated at once.</summary>
    /// <param name="tokens">How many there are.</param>
    public virtual int MostTokens(int tokens) => TileJob.MostTokens;

    /// <summary>Outputs of tiles [firstTile, lastTile) for at most <see cref="MostTokens"/>.</summary>
    /// <param name="input">The inputs.</param>
    /// <param name="y">[tokens, <see cref="Stride"/>]; rows that do not exist get any number.</param>
    public void Multiply(CpuInput input, float* y, int firstTile, int lastTile)
    {
        if (firstTile == lastTile)
            return;
        MultiplyTiles(input, y, firstTile, lastTile);
        if (_bias is null)
            return;
        var (first, last) = (firstTile * TileRows, Math.Min(lastTile * TileRows, outFeatures));
        for (var token = 0; token < input.Tokens; token++)
            Elements.Add(y + (long)token * Stride + first, _bias.AsSpan(first, last - first));
    }

    public virtual void Dispose()
    {
    }

    protected abstract void MultiplyTiles(CpuInput input, float* y, int firstTile, int lastTile);
}

/// <summary>Inputs of some tokens, and the tables of their sums, in one thread's memory.</summary>
internal sealed unsafe class CpuInput : IDisposable
{
    private readonly AlignedBuffer _panel = new(ExpandedProduct.PanelFloats * sizeof(float));
    private AlignedBuffer _memory = new(0);
    private TileLayout? _layout;
    private object? _kind;
    private byte* _tables;
    private float* _sums;
    private float* _steps;
    private long _tableBytes;

    public float* X { get; private set; }

    /// <summary>Floats from one token to the next.</summary>
    public int Stride { get; private set; }

    public int Tokens { get; private set; }

    /// <summary>Scratch memory of <see cref="ExpandedProduct"/>.</summary>
    public float* Panel => (float*)_panel.Pointer;

    /// <summary>Takes other inputs.</summary>
    public CpuInput Of(float* x, int stride, int tokens)
    {
        X = x;
        (Stride, Tokens, _layout) = (stride, tokens, null);
        return this;
    }

    /// <summary>y of tiles of 16 rows; the tables are those of the layer before where it cuts its columns alike.</summary>
    public void Lookup(PackedBases weights, LookupProduct product, float* y, int stride, int firstTile, int lastTile)
    {
        if (Begins(weights.Layout, product.Kernel.GetType(), product.Kernel.TableBytesPerWord))
        {
            for (var token = 0; token < Tokens; token++)
                product.BuildFloats(Inputs(token), Padded, _tables + token * _tableBytes, Sums(token));
        }
        product.Kernel.Run(new TileJob(weights, Tokens, _tables, _tableBytes, _sums, null, y, stride), firstTile, lastTile);
    }

    /// <summary>The same of tiles of 32 rows.</summary>
    public void Lookup(ByteTiles weights, float* y, int stride, int firstTile, int lastTile)
    {
        var segments = weights.Layout.Segments.Length;
        if (Begins(weights.Layout, typeof(ByteKernel), ByteKernel.TableBytesPerWord))
        {
            for (var token = 0; token < Tokens; token++)
            {
                LookupProduct.Pad(weights.Layout, Inputs(token), Padded, Sums(token));
                ByteKernel.Build(weights.Layout, Padded, _tables + token * _tableBytes, new Span<float>(_steps + (long)token * segments, segments));
            }
        }
        ByteKernel.Run(weights, Tokens, _tables, _tableBytes, _steps, _sums, y, stride, firstTile, lastTile);
    }

    public void Dispose()
    {
        _memory.Dispose();
        _panel.Dispose();
    }

    private float* Padded => (float*)(_tables + Tokens * _tableBytes);

    private ReadOnlySpan<float> Inputs(int token) => new(X + (long)token * Stride, _layout!.InFeatures);

    private Span<float> Sums(int token) => new(_sums + (long)token * _layout!.Segments.Length, _layout.Segments.Length);

    /// <summary>Whether tables have to be made; their memory is there then.</summary>
    private bool Begins(TileLayout layout, Type kind, int bytesPerWord)
    {
        if (_layout is not null && ReferenceEquals(_kind, kind) && _layout.Segments.AsSpan().SequenceEqual(layout.Segments))
            return false;
        (_layout, _kind, _tableBytes) = (layout, kind, (long)layout.Words * bytesPerWord);
        var padded = TokenScratch.Rounded<float>(layout.Words * TileLayout.WordColumns);
        var perSegment = TokenScratch.Rounded<float>((long)Tokens * layout.Segments.Length);
        var bytes = Tokens * _tableBytes + padded + 2 * perSegment;
        if (_memory.Bytes < bytes)
        {
            _memory.Dispose();
            _memory = new AlignedBuffer(bytes);
        }
        _tables = _memory.Pointer;
        _sums = (float*)(_tables + Tokens * _tableBytes + padded);
        _steps = (float*)((byte*)_sums + perSegment);
        return true;
    }
}

/// <summary>The bases of a layer in a checkpoint.</summary>
/// <param name="Source">Where the tensors are.</param>
/// <param name="Module">Their name without a suffix.</param>
/// <param name="GroupSize">Columns that share a scale; null for the row.</param>
/// <param name="Bases">Of nested bases only the first planes; null for all.</param>
/// <param name="Shape">Sizes.</param>
internal sealed record StoredBases(ITensorSource Source, string Module, int? GroupSize, int? Bases, BasesShape Shape)
{
    public TileLayout Layout { get; } = new(Shape.Count, Shape.OutFeatures, Shape.InFeatures, Shape.GroupSize, Shape.HasBias);

    /// <summary>Those of a layer; null where it has none. Embedding and head have their own groups, and are never nested.</summary>
    /// <exception cref="InvalidInputException">A tensor has another shape than the configuration says.</exception>
    public static StoredBases? Find(ITensorSource source, LinearSpec spec, int? bases, int? groupSize)
    {
        if (source is QuantizedTensors { Form: BasesForm form } quantized && quantized.IsQuantized(spec.Module))
            (source, bases, groupSize) = (quantized.Stored, null, form.GroupSize);
        return BasesTensors.Contains(source, spec.Module)
            ? new(source, spec.Module, groupSize, bases, BasesTensors.Describe(source, spec.Module, spec.OutFeatures, spec.InFeatures, groupSize, bases)) : null;
    }

    /// <summary>Bytes of the packed weight.</summary>
    public long SizeOf(CpuInstructions instructions) => IsInBytes(instructions) ? ByteTiles.SizeOf(Layout) : PackedBases.SizeOf(Layout);

    /// <summary>Whether the kernel looks bytes up: with AVX2 alone, where other tables take three times the instructions.</summary>
    public static bool IsInBytes(CpuInstructions instructions) => instructions == CpuInstructions.Avx2;

    public BinaryBases Read() => BasesTensors.Read(Source, Module, Shape.OutFeatures, Shape.InFeatures, GroupSize, Bases);
}

/// <summary>A sum of binary matrices.</summary>
internal sealed unsafe class BasesLinear : CpuLinear
{
    private readonly PackedBases? _packed;
    private readonly LookupProduct? _product;
    private readonly ByteTiles? _bytes;
    private readonly float _factor;
    private readonly int _fewestExpanded;
    private readonly bool _isWide;

    public BasesLinear(StoredBases bases, CpuInstructions instructions, KernelCache store) : base(bases.Shape.OutFeatures, bases.Shape.InFeatures)
    {
        var memory = store.Take(bases.SizeOf(instructions));
        if (StoredBases.IsInBytes(instructions))
        {
            _bytes = new ByteTiles(bases.Layout, memory);
            if (!store.IsFilled)
                _bytes.Fill(bases.Read());
        }
        else
        {
            _packed = new PackedBases(bases.Layout, bases.Shape.GroupSize, memory);
            if (!store.IsFilled)
                _packed.Fill(bases.Read());
            _product = new LookupProduct(_packed, instructions, null);
        }
        _factor = ScaleExponent.Factor(bases.Shape.Exponent);
        (_fewestExpanded, _isWide) = (ExpandedProduct.FewestTokens(instructions, bases.Shape.Count), instructions == CpuInstructions.Avx512);
    }

    public override int MostTokens(int tokens) => tokens >= _fewestExpanded ? tokens : base.MostTokens(tokens);

    protected override void MultiplyTiles(CpuInput input, float* y, int firstTile, int lastTile)
    {
        if (_bytes is not null && input.Tokens >= _fewestExpanded)
            ExpandedProduct.Multiply(_bytes, input.X, input.Stride, input.Tokens, y, Stride, firstTile, lastTile, input.Panel, _isWide);
        else if (_bytes is not null)
            input.Lookup(_bytes, y, Stride, firstTile, lastTile);
        else
            MultiplyHalves(input, y, firstTile * 2, Math.Min(lastTile * 2, _packed!.Layout.Tiles));
        if (_factor == 1)
            return;
        for (var token = 0; token < input.Tokens; token++)
            Elements.Scale(y + (long)token * Stride + firstTile * TileRows, (lastTile - firstTile) * TileRows, _factor);
    }

    /// <summary>Tiles of 16 rows.</summary>
    private void MultiplyHalves(CpuInput input, float* y, int firstTile, int lastTile)
    {
        if (input.Tokens >= _fewestExpanded)
            ExpandedProduct.Multiply(_packed!, input.X, input.Stride, input.Tokens, y, Stride, firstTile, lastTile, input.Panel, _isWide);
        else
            input.Lookup(_packed!, _product!, y, Stride, firstTile, lastTile);
    }
}

/// <summary>Rows of numbers, as the file has them.</summary>
internal sealed unsafe class RowsLinear(WeightRows rows) : CpuLinear(rows.Rows, rows.Columns)
{
    /// <exception cref="InvalidInputException">The tensor is missing or has another shape.</exception>
    public static CpuLinear Load(ITensorSource source, LinearSpec spec)
    {
        if (!spec.Transposed)
            return new RowsLinear(WeightRows.Of(source, spec.Module, spec.OutFeatures, spec.InFeatures));
        var turned = new AlignedBuffer(spec.WeightCount * sizeof(float));
        WeightLoader.ReadWeight(source, spec, new Span<float>(turned.Pointer, checked((int)spec.WeightCount)));
        return new RowsLinear(new WeightRows<SingleRow>(turned.Pointer, spec.OutFeatures, spec.InFeatures, turned));
    }

    public override void Dispose() => rows.Dispose();

    protected override void MultiplyTiles(CpuInput input, float* y, int firstTile, int lastTile) =>
        rows.Multiply(input.X, input.Stride, input.Tokens, y, Stride, firstTile * TileRows, Math.Min(lastTile * TileRows, OutFeatures));
}
