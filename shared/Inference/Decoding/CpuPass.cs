using Qbb.Bases.Cpu;
using Qbb.Models.Decoder;

namespace Qbb.Inference.Decoding;

/// <summary>One token of a pass.</summary>
/// <param name="Sequence">Whose.</param>
/// <param name="Position">In the sequence.</param>
/// <param name="Token">Its id.</param>
/// <param name="Output">Which input's prediction follows it; -1 for none.</param>
/// <param name="Rotation">Of blocks that see all of the past.</param>
/// <param name="LocalRotation">Of blocks with a sliding window.</param>
internal sealed record PassRow(PagedSequence Sequence, int Position, int Token, int Output, RotationTable? Rotation, RotationTable? LocalRotation);

/// <summary>What the threads share while some tokens pass through all blocks: rows [tokens, …] of activations.</summary>
internal sealed unsafe class CpuPass : IDisposable
{
    private readonly DecoderConfig _config;
    private readonly AttentionScratch[] _scratch;
    private AlignedBuffer _memory = new(0);
    private long _used;

    public CpuPass(DecoderConfig config, ThreadTeam team, CpuAttention attention)
    {
        (_config, Team, Attention) = (config, team, attention);
        _scratch = [.. Enumerable.Range(0, team.Count).Select(_ => new AttentionScratch())];
    }

    public ThreadTeam Team { get; }

    public CpuAttention Attention { get; }

    public PassRow[] Rows { get; private set; } = [];

    public AttentionTile[] Tiles { get; private set; } = [];

    /// <summary>Rows after which something is predicted.</summary>
    public int[] Ends { get; private set; } = [];

    /// <summary>The residual stream [rows, hidden].</summary>
    public float* X { get; private set; }

    /// <summary>Another [rows, hidden], for blocks that normalise the stream itself.</summary>
    public float* Other { get; private set; }

    public float* Normed { get; private set; }

    /// <summary>Queries, keys and values as their layers give them, one behind the other: [rows, stride] each.</summary>
    public float* Projections { get; private set; }

    /// <summary>Queries as attention takes them, [rows, heads · head].</summary>
    public float* Queries { get; private set; }

    /// <summary>[rows, heads · head]</summary>
    public float* Mixed { get; private set; }

    /// <summary>Gate and up.</summary>
    public float* Inner { get; private set; }

    public float* Branch { get; private set; }

    public float* MlpBranch { get; private set; }

    public float* Projected { get; private set; }

    /// <summary>[ends, stride of the head]</summary>
    public float* Logits { get; private set; }

    public AttentionScratch Scratch(int thread) => _scratch[thread];

    /// <param name="rows">The tokens.</param>
    /// <param name="tiles">Their attention.</param>
    /// <param name="strides">Of the projection behind the blocks and of the head.</param>
    public void Begin(PassRow[] rows, AttentionTile[] tiles, (int Projected, int Head) strides)
    {
        (Rows, Tiles) = (rows, tiles);
        Ends = [.. rows.Index().Where(row => row.Item.Output >= 0).Select(row => row.Index)];
        long hidden = _config.HiddenSize, queries = (long)_config.HeadCount * _config.HeadDimension, keys = (long)_config.KeyValueHeadCount * _config.HeadDimension;
        // Strides are rounded up to tiles.
        const int slack = 3 * CpuLinear.TileRows;
        long[] sizes =
        [
            rows.Length * hidden, rows.Length * hidden, Math.Max(rows.Length, Ends.Length) * hidden, rows.Length * (queries + 2 * keys + slack), rows.Length * queries,
            rows.Length * (2L * _config.IntermediateSize + slack), rows.Length * (hidden + slack), rows.Length * (hidden + slack),
            (long)Ends.Length * strides.Projected, (long)Ends.Length * strides.Head, rows.Length * queries,
        ];
        var bytes = sizes.Sum(TokenScratch.Rounded<float>);
        if (_memory.Bytes < bytes)
        {
            _memory.Dispose();
            _memory = new AlignedBuffer(bytes);
        }
        _used = 0;
        X = Take(sizes[0]);
        Other = Take(sizes[1]);
        Normed = Take(sizes[2]);
        Projections = Take(sizes[3]);
        Mixed = Take(sizes[4]);
        Inner = Take(sizes[5]);
        Branch = Take(sizes[6]);
        MlpBranch = Take(sizes[7]);
        Projected = Take(sizes[8]);
        Logits = Take(sizes[9]);
        Queries = Take(sizes[10]);
    }

    /// <summary>A thread's share of a product's outputs.</summary>
    /// <param name="linear">The layer.</param>
    /// <param name="x">[tokens, in]</param>
    /// <param name="xStride">Floats from one token to the next.</param>
    /// <param name="tokens">How many.</param>
    /// <param name="y">[tokens, stride of the layer]</param>
    /// <param name="thread">Which share.</param>
    /// <param name="input">The thread's tables.</param>
    public void Multiply(CpuLinear linear, float* x, int xStride, int tokens, float* y, int thread, CpuInput input) =>
        Multiply([linear], x, xStride, tokens, [(nint)y], thread, input);

    /// <summary>The same of layers with one input, whose tables are made once.</summary>
    public void Multiply(ReadOnlySpan<CpuLinear> linears, float* x, int xStride, int tokens, ReadOnlySpan<nint> outputs, int thread, CpuInput input)
    {
        for (var k = 0; k < linears.Length;)
        {
            // Neighbours that take as many tokens at once share the tables.
            var (most, first) = (linears[k].MostTokens(tokens), k);
            while (k < linears.Length && linears[k].MostTokens(tokens) == most)
                k++;
            for (var token = 0; token < tokens; token += most)
            {
                input.Of(x + (long)token * xStride, xStride, Math.Min(most, tokens - token));
                for (var index = first; index < k; index++)
                {
                    var (begin, end) = Share(linears[index].Tiles, thread);
                    linears[index].Multiply(input, (float*)outputs[index] + (long)token * linears[index].Stride, begin, end);
                }
            }
        }
    }

    /// <summary>A thread's part of something that is counted.</summary>
    public (int First, int Last) Share(int count, int thread) => ((int)((long)count * thread / Team.Count), (int)((long)count * (thread + 1) / Team.Count));

    public void Dispose()
    {
        _memory.Dispose();
        foreach (var scratch in _scratch)
            scratch.Dispose();
    }

    private float* Take(long count)
    {
        var first = _memory.Pointer + _used;
        _used += TokenScratch.Rounded<float>(count);
        return (float*)first;
    }
}
