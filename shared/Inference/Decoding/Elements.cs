using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Qbb.Models.Decoder;

namespace Qbb.Inference.Decoding;

/// <summary>What a decoder does to single elements and rows, eight at a time.</summary>
internal static unsafe class Elements
{
    public static void Add(float* x, ReadOnlySpan<float> y)
    {
        fixed (float* from = y)
            AddScaled(x, from, y.Length, 1);
    }

    /// <summary>x += factor · y</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void AddScaled(float* x, float* y, int count, float factor)
    {
        var k = 0;
        for (; k + 8 <= count; k += 8)
            (Vector256.Load(x + k) + Vector256.Load(y + k) * factor).Store(x + k);
        for (; k < count; k++)
            x[k] += y[k] * factor;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Scale(float* x, int count, float factor)
    {
        var k = 0;
        for (; k + 8 <= count; k += 8)
            (Vector256.Load(x + k) * factor).Store(x + k);
        for (; k < count; k++)
            x[k] *= factor;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float Max(float* x, int count)
    {
        var k = 0;
        var most = Vector256.Create(float.NegativeInfinity);
        for (; k + 8 <= count; k += 8)
            most = Vector256.Max(most, Vector256.Load(x + k));
        var result = float.NegativeInfinity;
        for (var lane = 0; lane < 8; lane++)
            result = MathF.Max(result, most[lane]);
        for (; k < count; k++)
            result = MathF.Max(result, x[k]);
        return result;
    }

    /// <summary>x becomes e^(x − largest); returns the sum.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float Exponentials(float* x, int count, float largest)
    {
        var k = 0;
        var sums = Vector256<float>.Zero;
        for (; k + 8 <= count; k += 8)
        {
            var power = Vector256.Exp(Vector256.Load(x + k) - Vector256.Create(largest));
            power.Store(x + k);
            sums += power;
        }
        var sum = Vector256.Sum(sums);
        for (; k < count; k++)
            sum += x[k] = MathF.Exp(x[k] - largest);
        return sum;
    }

    /// <summary>x becomes cap · tanh(x / cap).</summary>
    public static void SoftCap(float* x, int count, float cap)
    {
        for (var k = 0; k < count; k++)
            x[k] = cap * MathF.Tanh(x[k] / cap);
    }

    /// <summary>x becomes f(x), or f(x) · y where there is a y.</summary>
    public static void Activate(Activation activation, float* x, float* y, int count)
    {
        switch (activation)
        {
            case Activation.Silu:
                Activate<Silu>(x, y, count);
                break;
            case Activation.QuickGelu:
                Activate<QuickGelu>(x, y, count);
                break;
            case Activation.GeluTanh:
                Activate<GeluTanh>(x, y, count);
                break;
            case Activation.Gelu:
                Activate<Gelu>(x, y, count);
                break;
            case Activation.Relu:
                Activate<Relu>(x, y, count);
                break;
            case Activation.ReluSquared:
                Activate<ReluSquared>(x, y, count);
                break;
            default:
                throw new InvalidOperationException($"activation {activation}");
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Activate<T>(float* x, float* y, int count)
        where T : struct, IActivation
    {
        var k = 0;
        for (; k + 8 <= count; k += 8)
        {
            var value = T.Of(Vector256.Load(x + k));
            (y == null ? value : value * Vector256.Load(y + k)).Store(x + k);
        }
        if (k == count)
            return;
        var rest = stackalloc float[8];
        new ReadOnlySpan<float>(x + k, count - k).CopyTo(new Span<float>(rest, 8));
        var last = T.Of(Vector256.Load(rest));
        for (var lane = 0; k < count; k++, lane++)
            x[k] = y == null ? last[lane] : last[lane] * y[k];
    }

    private interface IActivation
    {
        static abstract Vector256<float> Of(Vector256<float> x);
    }

    private readonly struct Silu : IActivation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> Of(Vector256<float> x) => x * Sigmoid(x);
    }

    private readonly struct QuickGelu : IActivation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> Of(Vector256<float> x) => x * Sigmoid(x * 1.702f);
    }

    private readonly struct GeluTanh : IActivation
    {
        // (1 + tanh(u)) / 2 is the sigmoid of 2u.
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> Of(Vector256<float> x) => x * Sigmoid((x + x * x * x * 0.044715f) * (2 * 0.7978845608028654f));
    }

    private readonly struct Gelu : IActivation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> Of(Vector256<float> x) => x * NormalDistribution(x);
    }

    private readonly struct Relu : IActivation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> Of(Vector256<float> x) => Vector256.Max(x, Vector256<float>.Zero);
    }

    private readonly struct ReluSquared : IActivation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> Of(Vector256<float> x) => Vector256.Max(x, Vector256<float>.Zero) * Vector256.Max(x, Vector256<float>.Zero);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Sigmoid(Vector256<float> x) => Vector256<float>.One / (Vector256<float>.One + Vector256.Exp(-x));

    /// <summary>Φ(x) by formula 26.2.17 of Abramowitz and Stegun, Handbook of Mathematical Functions; its error is below 7.5e-8.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> NormalDistribution(Vector256<float> x)
    {
        var magnitude = Vector256.Abs(x);
        var t = Vector256<float>.One / (Vector256<float>.One + magnitude * 0.2316419f);
        var polynomial = Vector256.Create(1.330274429f);
        polynomial = polynomial * t + Vector256.Create(-1.821255978f);
        polynomial = polynomial * t + Vector256.Create(1.781477937f);
        polynomial = polynomial * t + Vector256.Create(-0.356563782f);
        polynomial = polynomial * t + Vector256.Create(0.319381530f);
        var tail = Vector256.Exp(magnitude * magnitude * -0.5f) * 0.3989422804014327f * polynomial * t;
        return Vector256.ConditionalSelect(Vector256.LessThan(x, Vector256<float>.Zero), tail, Vector256<float>.One - tail);
    }
}

/// <summary>A norm over rows.</summary>
internal sealed unsafe class RowNorm
{
    private readonly NormKind _kind;
    private readonly double _epsilon;
    private readonly float[]? _weight;
    private readonly float[]? _bias;

    /// <exception cref="InvalidInputException">A tensor is missing or has another shape.</exception>
    public RowNorm(Checkpoints.ITensorSource source, NormSpec spec, double epsilon)
    {
        (_kind, _epsilon) = (spec.Kind, epsilon);
        _weight = spec.Weight is { } weight ? WeightRows.Vector(source, weight, spec.Size) : null;
        _bias = spec.Bias is { } bias ? WeightRows.Vector(source, bias, spec.Size) : null;
        if (_kind == NormKind.RmsPlusOne)
            _weight = Array.ConvertAll(_weight!, w => w + 1);
    }

    /// <summary>y [first, last) from the whole row x.</summary>
    /// <param name="x">[size]</param>
    /// <param name="y">[size]; may be x where all of it is written.</param>
    /// <param name="size">Elements that are normalised together.</param>
    /// <param name="first">First element to write.</param>
    /// <param name="last">The one behind the last.</param>
    /// <param name="adds">Add to y instead.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Apply(float* x, float* y, int size, int first, int last, bool adds = false)
    {
        var mean = _kind is NormKind.LayerNorm or NormKind.LayerNormPlain ? Sum(x, size, 0, false) / size : 0;
        var factor = 1 / MathF.Sqrt((float)(Sum(x, size, mean, true) / size + _epsilon));
        var k = first;
        for (; k + 8 <= last; k += 8)
        {
            var value = (Vector256.Load(x + k) - Vector256.Create(mean)) * factor;
            if (_weight is not null)
                value *= Vector256.LoadUnsafe(ref _weight[k]);
            if (_bias is not null)
                value += Vector256.LoadUnsafe(ref _bias[k]);
            (adds ? Vector256.Load(y + k) + value : value).Store(y + k);
        }
        for (; k < last; k++)
        {
            var value = (x[k] - mean) * factor * (_weight?[k] ?? 1) + (_bias?[k] ?? 0);
            y[k] = adds ? y[k] + value : value;
        }
    }

    /// <summary>A head's part of a row that is normalised over all heads.</summary>
    /// <param name="row">[heads, head]</param>
    /// <param name="size">Elements of the row.</param>
    /// <param name="first">Where the head begins.</param>
    /// <param name="y">[head]</param>
    /// <param name="head">Elements of a head.</param>
    public void Part(float* row, int size, int first, float* y, int head) => Apply(row, y - first, size, first, first + head);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Sum(float* x, int size, float mean, bool squares)
    {
        Vector256<float> sum = default, other = default;
        var (shift, k) = (Vector256.Create(mean), 0);
        for (; k + 16 <= size; k += 16)
        {
            var (a, b) = (Vector256.Load(x + k) - shift, Vector256.Load(x + k + 8) - shift);
            sum += squares ? a * a : a;
            other += squares ? b * b : b;
        }
        var total = Vector256.Sum(sum + other);
        for (; k < size; k++)
            total += squares ? (x[k] - mean) * (x[k] - mean) : x[k];
        return total;
    }
}

/// <summary>Cosines and sines of a rotary embedding, made as sequences grow.</summary>
internal sealed class Rotations(RopeConfig rope)
{
    /// <summary>Dynamic scaling makes a table per length: more of them are not worth their memory.</summary>
    private const int MostTables = 4;

    private readonly Dictionary<long, RotationTable> _tables = [];

    /// <summary>Whether sequences of two lengths have different angles.</summary>
    public bool Changes(long before, long after) => rope.DependsOnLength && RopeFrequencies.Regime(rope, before) != RopeFrequencies.Regime(rope, after);

    /// <summary>The angles of a sequence of so many positions.</summary>
    public RotationTable Of(long length)
    {
        var regime = RopeFrequencies.Regime(rope, length);
        if (_tables.TryGetValue(regime, out var table) && table.Positions >= length)
            return table;
        if (table is null && _tables.Count == MostTables)
            _tables.Clear();
        // Twice what is asked, so that generating token by token does not make a table per token.
        var positions = Math.Max(2 * length, 64);
        var (cos, sin) = RopeFrequencies.Angles(rope, positions, length);
        return _tables[regime] = new RotationTable(cos, sin, positions, rope.Dimensions / 2);
    }
}

/// <param name="Cos">[positions, pairs]</param>
/// <param name="Sin">As <paramref name="Cos"/>.</param>
/// <param name="Positions">Rows.</param>
/// <param name="Pairs">Rotated pairs of a head.</param>
internal sealed unsafe record RotationTable(float[] Cos, float[] Sin, long Positions, int Pairs)
{
    /// <summary>Turns each pair (x_i, x_{i + pairs}) of a head by the angle of its position; the rest of the head passes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Turn(float* x, long position)
    {
        fixed (float* cosines = Cos, sines = Sin)
        {
            var cos = cosines + position * Pairs;
            var sin = sines + position * Pairs;
            var k = 0;
            for (; k + 8 <= Pairs; k += 8)
            {
                var (a, b, c, s) = (Vector256.Load(x + k), Vector256.Load(x + Pairs + k), Vector256.Load(cos + k), Vector256.Load(sin + k));
                (a * c - b * s).Store(x + k);
                (b * c + a * s).Store(x + Pairs + k);
            }
            for (; k < Pairs; k++)
            {
                var (a, b) = (x[k], x[Pairs + k]);
                x[k] = a * cos[k] - b * sin[k];
                x[Pairs + k] = b * cos[k] + a * sin[k];
            }
        }
    }
}
