using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Qbb.Bases.Cpu;
using Qbb.Checkpoints;

namespace Qbb.Inference.Decoding;

/// <summary>A matrix whose rows are read as they are stored: fp32, fp16, bf16, or integers with a scale per group.</summary>
internal abstract unsafe class WeightRows(int rows, int columns, IDisposable? memory) : IDisposable
{
    public int Rows => rows;

    public int Columns => columns;

    /// <summary>A matrix of a checkpoint, which must outlive it.</summary>
    /// <exception cref="InvalidInputException">The tensor is missing or has another shape.</exception>
    public static WeightRows Of(ITensorSource source, string module, int rows, int columns)
    {
        var name = module + ".weight";
        var entry = Check(source, name, rows, columns);
        if (source is QuantizedTensors { Form: IntegerForm form } quantized && quantized.IsQuantized(module))
            return OfIntegers(quantized.Stored, module, form, rows);
        if (source.TryGetPointer(name, out var pointer))
        {
            switch (entry.Type)
            {
                case "F32":
                    return new WeightRows<SingleRow>(pointer, rows, columns, null);
                case "F16":
                    return new WeightRows<HalfRow>(pointer, rows, columns, null);
                case "BF16":
                    return new WeightRows<BFloat16Row>(pointer, rows, columns, null);
            }
        }
        var copy = new AlignedBuffer(entry.Count * sizeof(float));
        for (var row = 0; row < rows; row++)
            source.ReadFloat(name, (long)row * columns, new Span<float>((float*)copy.Pointer + (long)row * columns, columns));
        return new WeightRows<SingleRow>(copy.Pointer, rows, columns, copy);
    }

    /// <summary>A vector of a checkpoint.</summary>
    /// <exception cref="InvalidInputException">The tensor is missing or has another shape.</exception>
    public static float[] Vector(ITensorSource source, string name, int size)
    {
        Check(source, name, size);
        var values = new float[size];
        source.ReadFloat(name, 0, values);
        return values;
    }

    /// <summary>A tensor's entry, if it has the shape that the configuration asks for.</summary>
    /// <exception cref="InvalidInputException">It is missing or has another shape.</exception>
    public static TensorEntry Check(ITensorSource source, string name, params long[] shape)
    {
        var entry = source.Describe(name);
        return entry.Shape.SequenceEqual(shape)
            ? entry : throw new InvalidInputException($"tensor {name} is [{string.Join(", ", entry.Shape)}] where config.json requires [{string.Join(", ", shape)}]");
    }

    /// <summary>Adds a row to a vector.</summary>
    public abstract void AddRow(long row, float* y);

    /// <summary>Outputs [first, last) of any number of tokens.</summary>
    /// <param name="x">[tokens, columns], <paramref name="xStride"/> floats apart.</param>
    /// <param name="xStride">Floats from one token to the next.</param>
    /// <param name="tokens">Rows of both.</param>
    /// <param name="y">[tokens, rows], <paramref name="yStride"/> floats apart.</param>
    /// <param name="yStride">Floats from one token to the next.</param>
    /// <param name="first">First output.</param>
    /// <param name="last">The one behind the last.</param>
    public abstract void Multiply(float* x, int xStride, int tokens, float* y, int yStride, int first, int last);

    public void Dispose() => memory?.Dispose();

    private static WeightRows OfIntegers(ITensorSource stored, string module, IntegerForm form, int rows)
    {
        var scales = new Half[rows * form.Groups];
        stored.ReadBytes(form.Scales(module), 0, MemoryMarshal.AsBytes(scales.AsSpan()));
        var factor = ScaleExponent.Factor(ScaleExponent.Read(stored, module));
        var groups = new RowGroups(Array.ConvertAll(scales, scale => (float)scale * factor), form.GroupSize, form.Groups);
        if (form.Bits == 8 && stored.TryGetPointer(form.Values(module), out var pointer))
            return new WeightRows<Int8Row>(pointer, rows, form.Columns, null, groups);
        var values = new AlignedBuffer((long)rows * form.Columns);
        var packed = new byte[form.RowBytes];
        for (var row = 0; row < rows; row++)
        {
            stored.ReadBytes(form.Values(module), (long)row * form.RowBytes, packed);
            IntegerPacking.Unpack(packed, form.Bits, 0, new Span<sbyte>(values.Pointer + (long)row * form.Columns, form.Columns));
        }
        return new WeightRows<Int8Row>(values.Pointer, rows, form.Columns, values, groups);
    }
}

/// <summary>Scales [rows, groups] of integers.</summary>
internal sealed record RowGroups(float[] Scales, int Size, int Count);

/// <summary>How an element is stored.</summary>
internal unsafe interface IRowElement
{
    static abstract int Bytes { get; }

    static abstract Vector256<float> Load8(byte* elements);

    static abstract float Load(byte* element);
}

/// <summary>One that a KV cache holds: integers up to ±<see cref="Largest"/> with a scale per head and position, or numbers with a scale of 1.</summary>
internal unsafe interface ICacheElement : IRowElement
{
    /// <summary>What the largest magnitude of a head becomes; 0 for numbers as they are.</summary>
    static abstract float Largest { get; }

    static abstract void Store(byte* element, float value);
}

internal readonly unsafe struct SingleRow : ICacheElement
{
    public static int Bytes => sizeof(float);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load8(byte* elements) => Vector256.Load((float*)elements);

    public static float Load(byte* element) => *(float*)element;

    public static float Largest => 0;

    public static void Store(byte* element, float value) => *(float*)element = value;
}

internal readonly unsafe struct HalfRow : IRowElement
{
    public static int Bytes => sizeof(ushort);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load8(byte* elements) => HalfLanes.Load8((Half*)elements);

    public static float Load(byte* element) => (float)*(Half*)element;
}

internal readonly unsafe struct BFloat16Row : IRowElement
{
    public static int Bytes => sizeof(ushort);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load8(byte* elements)
    {
        if (Avx2.IsSupported)
            return (Avx2.ConvertToVector256Int32((ushort*)elements) << 16).AsSingle();
        var (lower, upper) = Vector128.Widen(Vector128.Load((ushort*)elements));
        return (Vector256.Create(lower, upper) << 16).AsSingle();
    }

    public static float Load(byte* element) => BitConverter.UInt32BitsToSingle((uint)*(ushort*)element << 16);
}

internal readonly unsafe struct Int16Row : ICacheElement
{
    public static int Bytes => sizeof(short);

    public static float Largest => short.MaxValue;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load8(byte* elements)
    {
        if (Avx2.IsSupported)
            return Vector256.ConvertToSingle(Avx2.ConvertToVector256Int32((short*)elements));
        var (lower, upper) = Vector128.Widen(Vector128.Load((short*)elements));
        return Vector256.ConvertToSingle(Vector256.Create(lower, upper));
    }

    public static float Load(byte* element) => *(short*)element;

    public static void Store(byte* element, float value) => *(short*)element = (short)MathF.Round(value);
}

internal readonly unsafe struct Int8Row : ICacheElement
{
    public static int Bytes => 1;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load8(byte* elements)
    {
        if (Avx2.IsSupported)
            return Vector256.ConvertToSingle(Avx2.ConvertToVector256Int32((sbyte*)elements));
        var (lower, upper) = Vector128.Widen(Vector128.WidenLower(Vector128.CreateScalar(*(long*)elements).AsSByte()));
        return Vector256.ConvertToSingle(Vector256.Create(lower, upper));
    }

    public static float Load(byte* element) => *(sbyte*)element;

    public static float Largest => sbyte.MaxValue;

    public static void Store(byte* element, float value) => *(sbyte*)element = (sbyte)MathF.Round(value);
}

/// <inheritdoc/>
/// <param name="elements">[rows, columns]</param>
/// <param name="rows">Rows.</param>
/// <param name="columns">Columns.</param>
/// <param name="memory">What holds the elements, if it is the matrix's own.</param>
/// <param name="groups">Scales; null for none.</param>
internal sealed unsafe class WeightRows<T>(byte* elements, int rows, int columns, IDisposable? memory, RowGroups? groups = null) : WeightRows(rows, columns, memory)
    where T : struct, IRowElement
{
    private readonly int _group = groups?.Size ?? columns;

    public override void Multiply(float* x, int xStride, int tokens, float* y, int yStride, int first, int last)
    {
        for (var row = first; row < last; row++)
        {
            var token = 0;
            for (; token + 4 <= tokens; token += 4)
                FourTokens(row, x + (long)token * xStride, xStride, y + (long)token * yStride + row, yStride);
            for (; token < tokens; token++)
                y[(long)token * yStride + row] = OneToken(row, x + (long)token * xStride);
        }
    }

    public override void AddRow(long row, float* y)
    {
        for (var k = 0; k < Columns; k++)
            y[k] += T.Load(elements + (row * Columns + k) * T.Bytes) * (groups is null ? 1 : groups.Scales[row * groups.Count + k / _group]);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private float OneToken(int row, float* x)
    {
        var place = elements + (long)row * Columns * T.Bytes;
        var scales = groups is null ? null : groups.Scales;
        var at = groups is null ? 0 : row * groups.Count;
        var sum = Vector256<float>.Zero;
        var rest = 0f;
        for (var column = 0; column < Columns; column += _group, at++)
        {
            var count = Math.Min(_group, Columns - column);
            // Four chains of additions, since each has a latency of four.
            Vector256<float> a = default, b = default, c = default, d = default;
            var k = 0;
            var w = place + (long)column * T.Bytes;
            var v = x + column;
            for (; k + 32 <= count; k += 32)
            {
                a = Vector256.MultiplyAddEstimate(T.Load8(w + k * T.Bytes), Vector256.Load(v + k), a);
                b = Vector256.MultiplyAddEstimate(T.Load8(w + (k + 8) * T.Bytes), Vector256.Load(v + k + 8), b);
                c = Vector256.MultiplyAddEstimate(T.Load8(w + (k + 16) * T.Bytes), Vector256.Load(v + k + 16), c);
                d = Vector256.MultiplyAddEstimate(T.Load8(w + (k + 24) * T.Bytes), Vector256.Load(v + k + 24), d);
            }
            for (; k + 8 <= count; k += 8)
                a = Vector256.MultiplyAddEstimate(T.Load8(w + k * T.Bytes), Vector256.Load(v + k), a);
            var tail = 0f;
            for (; k < count; k++)
                tail += T.Load(w + k * T.Bytes) * v[k];
            var scale = scales is null ? 1 : scales[at];
            sum = Vector256.MultiplyAddEstimate(a + b + (c + d), Vector256.Create(scale), sum);
            rest += tail * scale;
        }
        return Vector256.Sum(sum) + rest;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void FourTokens(int row, float* x, int xStride, float* y, int yStride)
    {
        var place = elements + (long)row * Columns * T.Bytes;
        var at = groups is null ? 0 : row * groups.Count;
        Vector256<float> sum0 = default, sum1 = default, sum2 = default, sum3 = default;
        var rest = Vector128<float>.Zero;
        for (var column = 0; column < Columns; column += _group, at++)
        {
            var count = Math.Min(_group, Columns - column);
            Vector256<float> a = default, b = default, c = default, d = default;
            var w = place + (long)column * T.Bytes;
            float* v0 = x + column, v1 = v0 + xStride, v2 = v1 + xStride, v3 = v2 + xStride;
            var k = 0;
            for (; k + 8 <= count; k += 8)
            {
                var weight = T.Load8(w + k * T.Bytes);
                a = Vector256.MultiplyAddEstimate(weight, Vector256.Load(v0 + k), a);
                b = Vector256.MultiplyAddEstimate(weight, Vector256.Load(v1 + k), b);
                c = Vector256.MultiplyAddEstimate(weight, Vector256.Load(v2 + k), c);
                d = Vector256.MultiplyAddEstimate(weight, Vector256.Load(v3 + k), d);
            }
            var tail = Vector128<float>.Zero;
            for (; k < count; k++)
                tail += Vector128.Create(v0[k], v1[k], v2[k], v3[k]) * T.Load(w + k * T.Bytes);
            var scale = groups is null ? 1 : groups.Scales[at];
            var wide = Vector256.Create(scale);
            sum0 = Vector256.MultiplyAddEstimate(a, wide, sum0);
            sum1 = Vector256.MultiplyAddEstimate(b, wide, sum1);
            sum2 = Vector256.MultiplyAddEstimate(c, wide, sum2);
            sum3 = Vector256.MultiplyAddEstimate(d, wide, sum3);
            rest += tail * scale;
        }
        y[0] = Vector256.Sum(sum0) + rest[0];
        y[yStride] = Vector256.Sum(sum1) + rest[1];
        y[2L * yStride] = Vector256.Sum(sum2) + rest[2];
        y[3L * yStride] = Vector256.Sum(sum3) + rest[3];
    }
}
