using System.Runtime.Intrinsics;

namespace Qbb.Quantizer.Methods.OutputAware;

/// <summary>
/// C += f·A·B in double for a few rows of A and a large B, on one thread. Every element is summed in the same order whatever the number
/// of rows, so results do not depend on how rows are shared among threads. <see cref="Reference"/> is the plain form.
/// </summary>
internal static unsafe class BlockProduct
{
    private const int Width = 8;
    private const int Depth = 256;

    /// <param name="a">[m, k], rows lda apart.</param>
    /// <param name="lda">Distance of A's rows.</param>
    /// <param name="m">Rows.</param>
    /// <param name="k">Terms of each sum.</param>
    /// <param name="b">[k, n], rows ldb apart.</param>
    /// <param name="ldb">Distance of B's rows.</param>
    /// <param name="n">Columns.</param>
    /// <param name="c">[m, n], rows ldc apart; added to.</param>
    /// <param name="ldc">Distance of C's rows.</param>
    /// <param name="factor">f.</param>
    public static void Add(
        ReadOnlySpan<double> a, int lda, int m, int k, ReadOnlySpan<double> b, int ldb, int n, Span<double> c, int ldc, double factor = 1)
    {
        if (m == 0 || n == 0 || k == 0)
            return;
        Check(a.Length, lda, m, k);
        Check(b.Length, ldb, k, n);
        Check(c.Length, ldc, m, n);
        var panel = stackalloc double[Depth * Width];
        fixed (double* pa = a, pb = b, pc = c)
        {
            for (var column = 0; column < n; column += Width)
            {
                var width = Math.Min(Width, n - column);
                for (var first = 0; first < k; first += Depth)
                {
                    var depth = Math.Min(Depth, k - first);
                    Pack(pb + (long)first * ldb + column, ldb, depth, width, factor, panel);
                    var row = 0;
                    for (; row + 4 <= m; row += 4)
                        FourRows(pa + (long)row * lda + first, lda, depth, panel, pc + (long)row * ldc + column, ldc, width);
                    for (; row < m; row++)
                        OneRow(pa + (long)row * lda + first, depth, panel, pc + (long)row * ldc + column, width);
                }
            }
        }
    }

    /// <summary>The plain form of <see cref="Add"/>.</summary>
    public static void Reference(
        ReadOnlySpan<double> a, int lda, int m, int k, ReadOnlySpan<double> b, int ldb, int n, Span<double> c, int ldc, double factor = 1)
    {
        for (var i = 0; i < m; i++)
        {
            for (var j = 0; j < n; j++)
            {
                var sum = 0.0;
                for (var p = 0; p < k; p++)
                    sum += a[i * lda + p] * b[p * ldb + j];
                c[i * ldc + j] += factor * sum;
            }
        }
    }

    /// <summary>Σ a·b.</summary>
    public static double Dot(ReadOnlySpan<double> a, ReadOnlySpan<double> b)
    {
        var (first, second) = (Vector256<double>.Zero, Vector256<double>.Zero);
        var j = 0;
        for (; j + 8 <= a.Length; j += 8)
        {
            first = Vector256.FusedMultiplyAdd(Vector256.Create(a.Slice(j, 4)), Vector256.Create(b.Slice(j, 4)), first);
            second = Vector256.FusedMultiplyAdd(Vector256.Create(a.Slice(j + 4, 4)), Vector256.Create(b.Slice(j + 4, 4)), second);
        }
        var sum = Vector256.Sum(first + second);
        for (; j < a.Length; j++)
            sum += a[j] * b[j];
        return sum;
    }

    /// <summary>y += f·x.</summary>
    public static void AddScaled(ReadOnlySpan<double> x, double factor, Span<double> y)
    {
        var f = Vector256.Create(factor);
        var j = 0;
        for (; j + 4 <= x.Length; j += 4)
            Vector256.FusedMultiplyAdd(f, Vector256.Create(x.Slice(j, 4)), Vector256.Create<double>(y.Slice(j, 4))).CopyTo(y[j..]);
        for (; j < x.Length; j++)
            y[j] = Math.FusedMultiplyAdd(factor, x[j], y[j]);
    }

    // A strip of B in one piece: its rows lie so far apart that they would push one another out of the cache.
    private static void Pack(double* b, int ldb, int depth, int width, double factor, double* panel)
    {
        for (var p = 0; p < depth; p++, b += ldb, panel += Width)
        {
            for (var j = 0; j < width; j++)
                panel[j] = factor * b[j];
            for (var j = width; j < Width; j++)
                panel[j] = 0;
        }
    }

    private static void FourRows(double* a, int lda, int depth, double* panel, double* c, int ldc, int width)
    {
        Vector256<double> c00 = default, c01 = default, c10 = default, c11 = default;
        Vector256<double> c20 = default, c21 = default, c30 = default, c31 = default;
        double* a1 = a + lda, a2 = a1 + lda, a3 = a2 + lda;
        for (var p = 0; p < depth; p++, panel += Width)
        {
            var (b0, b1) = (Vector256.Load(panel), Vector256.Load(panel + 4));
            var v = Vector256.Create(a[p]);
            (c00, c01) = (Vector256.FusedMultiplyAdd(v, b0, c00), Vector256.FusedMultiplyAdd(v, b1, c01));
            v = Vector256.Create(a1[p]);
            (c10, c11) = (Vector256.FusedMultiplyAdd(v, b0, c10), Vector256.FusedMultiplyAdd(v, b1, c11));
            v = Vector256.Create(a2[p]);
            (c20, c21) = (Vector256.FusedMultiplyAdd(v, b0, c20), Vector256.FusedMultiplyAdd(v, b1, c21));
            v = Vector256.Create(a3[p]);
            (c30, c31) = (Vector256.FusedMultiplyAdd(v, b0, c30), Vector256.FusedMultiplyAdd(v, b1, c31));
        }
        Store(c00, c01, c, width);
        Store(c10, c11, c + ldc, width);
        Store(c20, c21, c + 2L * ldc, width);
        Store(c30, c31, c + 3L * ldc, width);
    }

    private static void OneRow(double* a, int depth, double* panel, double* c, int width)
    {
        var (c0, c1) = (Vector256<double>.Zero, Vector256<double>.Zero);
        for (var p = 0; p < depth; p++, panel += Width)
        {
            var v = Vector256.Create(a[p]);
            c0 = Vector256.FusedMultiplyAdd(v, Vector256.Load(panel), c0);
            c1 = Vector256.FusedMultiplyAdd(v, Vector256.Load(panel + 4), c1);
        }
        Store(c0, c1, c, width);
    }

    private static void Store(Vector256<double> low, Vector256<double> high, double* c, int width)
    {
        if (width == Width)
        {
            (Vector256.Load(c) + low).Store(c);
            (Vector256.Load(c + 4) + high).Store(c + 4);
            return;
        }
        for (var j = 0; j < width; j++)
            c[j] += j < 4 ? low[j] : high[j - 4];
    }

    private static void Check(int length, int stride, int rows, int columns)
    {
        if (stride < columns || length < (rows - 1L) * stride + columns)
            throw new ArgumentException($"{length} elements in rows of {stride} do not hold {rows} × {columns}");
    }
}
