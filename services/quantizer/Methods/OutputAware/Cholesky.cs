namespace Qbb.Quantizer.Methods.OutputAware;

/// <summary>Solves small symmetric positive definite systems on one thread.</summary>
internal static class Cholesky
{
    /// <summary>Solves A·x = b.</summary>
    /// <param name="a">[n, n], of which the lower triangle is read; becomes its factor.</param>
    /// <param name="b">[n]; becomes x.</param>
    /// <returns>False where A is not positive definite; b is then of no use.</returns>
    public static bool SolveInPlace(Span<double> a, Span<double> b)
    {
        var n = b.Length;
        for (var i = 0; i < n; i++)
        {
            var line = a.Slice(i * n, n);
            for (var j = 0; j < i; j++)
                line[j] = (line[j] - BlockProduct.Dot(line[..j], a.Slice(j * n, j))) / a[j * n + j];
            var square = line[i] - BlockProduct.Dot(line[..i], line[..i]);
            if (!(square > 0) || !double.IsFinite(square))
                return false;
            line[i] = Math.Sqrt(square);
            b[i] = (b[i] - BlockProduct.Dot(line[..i], b[..i])) / line[i];
        }
        for (var i = n - 1; i >= 0; i--)
        {
            b[i] /= a[i * n + i];
            BlockProduct.AddScaled(a.Slice(i * n, i), -b[i], b[..i]);
        }
        return true;
    }
}
