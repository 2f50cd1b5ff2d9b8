using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Qbb.Bases.Cpu;

namespace Qbb.Inference.Decoding;

/// <summary>Queries of neighbouring tokens of one sequence against one head of its keys and values.</summary>
/// <param name="Sequence">Whose cache.</param>
/// <param name="Row">The first token's row in the pass.</param>
/// <param name="Position">Its position.</param>
/// <param name="Count">Tokens.</param>
internal readonly record struct AttentionTile(PagedSequence Sequence, int Row, int Position, int Count);

/// <summary>How the attention of one block sees.</summary>
/// <param name="Block">Index.</param>
/// <param name="Window">Positions that a token sees, itself included; 0 for all of the past.</param>
/// <param name="SoftCap">Scores s become cap · tanh(s / cap); 0 to leave them.</param>
internal readonly record struct AttentionView(int Block, int Window, float SoftCap);

/// <summary>
/// softmax(q kᵀ) v from a paged cache, for all query heads that share a head of keys: elements are widened once for four queries, and no score
/// that cannot be seen is used.
/// </summary>
internal abstract unsafe class CpuAttention(KvPool pool, int queriesPerGroup, int head)
{
    private static readonly int s_page = KvPool.Positions;

    protected KvPool Pool => pool;

    /// <summary>Elements of a head with the padding of the cache.</summary>
    protected int Padded { get; } = (head + KvPool.Lanes - 1) / KvPool.Lanes * KvPool.Lanes;

    /// <summary>Writes one head's key and value of a token.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public abstract void Store(PagedSequence sequence, int position, int block, int group, float* key, float* value);

    /// <summary>The mixed values of a tile's queries.</summary>
    /// <param name="tile">Which tokens.</param>
    /// <param name="group">Which head of keys and values.</param>
    /// <param name="view">What they see.</param>
    /// <param name="queries">Of the tile's first token and the group's first head, scaled; heads follow each other.</param>
    /// <param name="queryStride">Floats from one token to the next.</param>
    /// <param name="output">As queries.</param>
    /// <param name="outputStride">Floats from one token to the next.</param>
    /// <param name="scratch">The thread's memory.</param>
    public void Attend(
        in AttentionTile tile, int group, in AttentionView view, float* queries, int queryStride, float* output, int outputStride, AttentionScratch scratch)
    {
        var count = tile.Count * queriesPerGroup;
        var rows = count == 1 ? 1 : (count + 3) / 4 * 4;
        var end = tile.Position + tile.Count;
        var begin = view.Window > 0 ? Math.Max(0, tile.Position - view.Window + 1) : 0;
        var (firstPage, lastPage) = (begin / s_page, (end - 1) / s_page);
        var span = (lastPage - firstPage + 1) * s_page;
        scratch.Take(rows, Padded, span, out var q, out var scores, out var mixed);
        for (var row = 0; row < rows; row++)
        {
            var place = new Span<float>(q + (long)row * Padded, Padded);
            place.Clear();
            if (row < count)
                new ReadOnlySpan<float>(queries + (long)(row / queriesPerGroup) * queryStride + row % queriesPerGroup * head, head).CopyTo(place);
        }
        for (var page = firstPage; page <= lastPage; page++)
            Scores(pool.Keys(tile.Sequence.Pages[page], view.Block, group), q, rows, scores + (page - firstPage) * s_page, span);
        var sums = stackalloc float[rows];
        for (var row = 0; row < rows; row++)
        {
            var position = tile.Position + Math.Min(row, count - 1) / queriesPerGroup;
            var lowest = view.Window > 0 ? Math.Max(0, position - view.Window + 1) : 0;
            var (from, to) = (lowest - firstPage * s_page, position + 1 - firstPage * s_page);
            var line = scores + (long)row * span;
            if (view.SoftCap > 0)
                Elements.SoftCap(line + from, to - from, view.SoftCap);
            sums[row] = Elements.Exponentials(line + from, to - from, Elements.Max(line + from, to - from));
            new Span<float>(line, from).Clear();
            new Span<float>(line + to, span - to).Clear();
        }
        new Span<float>(mixed, rows * Padded).Clear();
        for (var page = firstPage; page <= lastPage; page++)
        {
            var first = page * s_page;
            Mix(pool.Values(tile.Sequence.Pages[page], view.Block, group), scores + (page - firstPage) * s_page, span, rows, mixed,
                Math.Max(0, begin - first), Math.Min(s_page, end - first));
        }
        for (var row = 0; row < count; row++)
        {
            var to = output + (long)(row / queriesPerGroup) * outputStride + row % queriesPerGroup * head;
            new ReadOnlySpan<float>(mixed + (long)row * Padded, head).CopyTo(new Span<float>(to, head));
            Elements.Scale(to, head, 1 / sums[row]);
        }
    }

    /// <summary>Scores of a page.</summary>
    /// <param name="keys">[head, 32]</param>
    /// <param name="q">[rows, padded]</param>
    /// <param name="rows">1, or a multiple of 4.</param>
    /// <param name="scores">[rows, stride]: 32 are written.</param>
    /// <param name="stride">Floats from one row to the next.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    protected abstract void Scores(byte* keys, float* q, int rows, float* scores, int stride);

    /// <summary>Adds the values of places [first, last) of a page, weighed.</summary>
    /// <param name="values">[32, padded]</param>
    /// <param name="weights">[rows, stride]</param>
    /// <param name="stride">Floats from one row to the next.</param>
    /// <param name="rows">1, or a multiple of 4.</param>
    /// <param name="mixed">[rows, padded]</param>
    /// <param name="first">First place.</param>
    /// <param name="last">The one behind the last.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    protected abstract void Mix(byte* values, float* weights, int stride, int rows, float* mixed, int first, int last);

    protected int Head => head;
}

/// <summary>One thread's memory for attention.</summary>
internal sealed unsafe class AttentionScratch : IDisposable
{
    private AlignedBuffer _memory = new(0);

    /// <summary>Queries and mixed values [rows, padded], scores [rows, span].</summary>
    public void Take(int rows, int padded, int span, out float* queries, out float* scores, out float* mixed)
    {
        var (wide, square) = (TokenScratch.Rounded<float>((long)rows * padded), TokenScratch.Rounded<float>((long)rows * span));
        if (_memory.Bytes < 2 * wide + square)
        {
            _memory.Dispose();
            // Twice what is needed, so that a growing sequence seldom asks again.
            _memory = new AlignedBuffer(2 * (2 * wide + square));
        }
        queries = (float*)_memory.Pointer;
        mixed = (float*)(_memory.Pointer + wide);
        scores = (float*)(_memory.Pointer + 2 * wide);
    }

    public void Dispose() => _memory.Dispose();
}

/// <inheritdoc/>
internal sealed unsafe class CpuAttention<T>(KvPool pool, int queriesPerGroup, int head) : CpuAttention(pool, queriesPerGroup, head)
    where T : struct, ICacheElement
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Store(PagedSequence sequence, int position, int block, int group, float* key, float* value)
    {
        var (index, place) = Math.DivRem(position, KvPool.Positions);
        var page = sequence.Pages[index];
        byte* keys = Pool.Keys(page, block, group), values = Pool.Values(page, block, group);
        var keyFactor = Scale((float*)keys + place, key);
        var valueFactor = Scale((float*)values + place, value);
        keys += KvPool.ScaleBytes + place * T.Bytes;
        values += KvPool.ScaleBytes + (long)place * Padded * T.Bytes;
        for (var k = 0; k < Head; k++)
        {
            T.Store(keys + (long)k * KvPool.Positions * T.Bytes, key[k] * keyFactor);
            T.Store(values + k * T.Bytes, value[k] * valueFactor);
        }
    }

    /// <summary>Notes the scale of a head, and returns what its elements are multiplied with to be stored.</summary>
    private float Scale(float* scale, float* head)
    {
        var largest = 0f;
        for (var k = 0; k < Head && T.Largest > 0; k++)
            largest = MathF.Max(largest, MathF.Abs(head[k]));
        // A head of zeros, or of numbers too small for their scale to be one, is stored as zeros.
        var factor = T.Largest == 0 ? 1 : T.Largest / largest;
        *scale = float.IsFinite(factor) ? 1 / factor : 0;
        return float.IsFinite(factor) ? factor : 0;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    protected override void Scores(byte* keys, float* q, int rows, float* scores, int stride)
    {
        Products(keys + KvPool.ScaleBytes, q, rows, scores, stride);
        if (T.Largest > 0)
            Scaled((float*)keys, rows, scores, stride);
    }

    /// <summary>Multiplies with the scales of a page's positions.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Scaled(float* scales, int rows, float* scores, int stride)
    {
        for (var row = 0; row < rows; row++)
        {
            for (var k = 0; k < KvPool.Positions; k += 8)
                (Vector256.Load(scores + (long)row * stride + k) * Vector256.Load(scales + k)).Store(scores + (long)row * stride + k);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Products(byte* keys, float* q, int rows, float* scores, int stride)
    {
        if (rows == 1)
        {
            Vector256<float> a = default, b = default, c = default, d = default;
            for (var k = 0; k < Head; k++)
            {
                var element = Vector256.Create(q[k]);
                var line = keys + (long)k * KvPool.Positions * T.Bytes;
                a = Vector256.MultiplyAddEstimate(T.Load8(line), element, a);
                b = Vector256.MultiplyAddEstimate(T.Load8(line + 8 * T.Bytes), element, b);
                c = Vector256.MultiplyAddEstimate(T.Load8(line + 16 * T.Bytes), element, c);
                d = Vector256.MultiplyAddEstimate(T.Load8(line + 24 * T.Bytes), element, d);
            }
            a.Store(scores);
            b.Store(scores + 8);
            c.Store(scores + 16);
            d.Store(scores + 24);
            return;
        }
        for (var row = 0; row < rows; row += 4)
        {
            for (var half = 0; half < KvPool.Positions; half += 16)
                FourScores(keys + half * T.Bytes, q + (long)row * Padded, scores + (long)row * stride + half, stride);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void FourScores(byte* keys, float* q, float* scores, int stride)
    {
        Vector256<float> a0 = default, a1 = default, b0 = default, b1 = default, c0 = default, c1 = default, d0 = default, d1 = default;
        float* q1 = q + Padded, q2 = q1 + Padded, q3 = q2 + Padded;
        for (var k = 0; k < Head; k++)
        {
            var (left, right) = (T.Load8(keys), T.Load8(keys + 8 * T.Bytes));
            var element = Vector256.Create(q[k]);
            a0 = Vector256.MultiplyAddEstimate(left, element, a0);
            a1 = Vector256.MultiplyAddEstimate(right, element, a1);
            element = Vector256.Create(q1[k]);
            b0 = Vector256.MultiplyAddEstimate(left, element, b0);
            b1 = Vector256.MultiplyAddEstimate(right, element, b1);
            element = Vector256.Create(q2[k]);
            c0 = Vector256.MultiplyAddEstimate(left, element, c0);
            c1 = Vector256.MultiplyAddEstimate(right, element, c1);
            element = Vector256.Create(q3[k]);
            d0 = Vector256.MultiplyAddEstimate(left, element, d0);
            d1 = Vector256.MultiplyAddEstimate(right, element, d1);
            keys += KvPool.Positions * T.Bytes;
        }
        a0.Store(scores);
        a1.Store(scores + 8);
        b0.Store(scores + stride);
        b1.Store(scores + stride + 8);
        c0.Store(scores + 2L * stride);
        c1.Store(scores + 2L * stride + 8);
        d0.Store(scores + 3L * stride);
        d1.Store(scores + 3L * stride + 8);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    protected override void Mix(byte* values, float* weights, int stride, int rows, float* mixed, int first, int last)
    {
        if (T.Largest > 0)
            ScaledPlaces((float*)values, rows, weights, stride, first, last);
        values += KvPool.ScaleBytes;
        for (var column = 0; column < Padded; column += KvPool.Lanes)
        {
            var place = values + column * T.Bytes;
            if (rows == 1)
            {
                var (left, right) = (Vector256.Load(mixed + column), Vector256.Load(mixed + column + 8));
                for (var k = first; k < last; k++)
                {
                    var value = place + (long)k * Padded * T.Bytes;
                    var weight = Vector256.Create(weights[k]);
                    left = Vector256.MultiplyAddEstimate(T.Load8(value), weight, left);
                    right = Vector256.MultiplyAddEstimate(T.Load8(value + 8 * T.Bytes), weight, right);
                }
                left.Store(mixed + column);
                right.Store(mixed + column + 8);
                continue;
            }
            for (var row = 0; row < rows; row += 4)
                FourMixed(place, weights + (long)row * stride, stride, mixed + (long)row * Padded + column, first, last);
        }
    }

    private static void ScaledPlaces(float* scales, int rows, float* weights, int stride, int first, int last)
    {
        for (var row = 0; row < rows; row++)
        {
            for (var k = first; k < last; k++)
                weights[(long)row * stride + k] *= scales[k];
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void FourMixed(byte* values, float* weights, int stride, float* mixed, int first, int last)
    {
        float* m1 = mixed + Padded, m2 = m1 + Padded, m3 = m2 + Padded;
        float* w1 = weights + stride, w2 = w1 + stride, w3 = w2 + stride;
        Vector256<float> a0 = Vector256.Load(mixed), a1 = Vector256.Load(mixed + 8), b0 = Vector256.Load(m1), b1 = Vector256.Load(m1 + 8);
        Vector256<float> c0 = Vector256.Load(m2), c1 = Vector256.Load(m2 + 8), d0 = Vector256.Load(m3), d1 = Vector256.Load(m3 + 8);
        for (var k = first; k < last; k++)
        {
            var value = values + (long)k * Padded * T.Bytes;
            var (left, right) = (T.Load8(value), T.Load8(value + 8 * T.Bytes));
            var weight = Vector256.Create(weights[k]);
            a0 = Vector256.MultiplyAddEstimate(left, weight, a0);
            a1 = Vector256.MultiplyAddEstimate(right, weight, a1);
            weight = Vector256.Create(w1[k]);
            b0 = Vector256.MultiplyAddEstimate(left, weight, b0);
            b1 = Vector256.MultiplyAddEstimate(right, weight, b1);
            weight = Vector256.Create(w2[k]);
            c0 = Vector256.MultiplyAddEstimate(left, weight, c0);
            c1 = Vector256.MultiplyAddEstimate(right, weight, c1);
            weight = Vector256.Create(w3[k]);
            d0 = Vector256.MultiplyAddEstimate(left, weight, d0);
            d1 = Vector256.MultiplyAddEstimate(right, weight, d1);
        }
        a0.Store(mixed);
        a1.Store(mixed + 8);
        b0.Store(m1);
        b1.Store(m1 + 8);
        c0.Store(m2);
        c1.Store(m2 + 8);
        d0.Store(m3);
        d1.Store(m3 + 8);
    }
}
