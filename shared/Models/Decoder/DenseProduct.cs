using System.Runtime.Intrinsics;

namespace Qbb.Models.Decoder;

/// <summary>x Wᵀ + b with plain weights.</summary>
internal static class DenseProduct
{
    /// <summary>
    /// Up to so many rows each is a product of matrix and vector. A product of matrices packs the whole weight first, which for one row
    /// costs two to five times the reading of it, and for four rows still more than reading it four times.
    /// </summary>
    private const long MostVectors = 4;

    /// <summary>Weights below which one thread is quicker than two: some 20 µs of reading, twice the time of waking another.</summary>
    private const long WeightsForThreads = 1 << 16;

    /// <param name="x">[…, in]</param>
    /// <param name="weight">[out, in], any layout.</param>
    /// <param name="bias">[out] or null.</param>
    public static Tensor Apply(Tensor x, Tensor weight, Tensor? bias)
    {
        var rows = x.numel() / x.size(-1);
        if (x.device_type != DeviceType.CPU || rows == 0 || rows > MostVectors || x.dtype is not (ScalarType.Float32 or ScalarType.Float64))
            return torch.nn.functional.linear(x, weight, bias);
        using var scope = torch.NewDisposeScope();
        var vectors = x.reshape(rows, x.size(-1));
        var products = IsRead(x, weight) ? Vectors(vectors, weight)
            : rows == 1 ? weight.matmul(vectors.select(0, 0))
            : torch.stack([.. Enumerable.Range(0, (int)rows).Select(row => weight.matmul(vectors.select(0, row)))]);
        var result = products.view([.. x.shape[..^1], weight.size(0)]);
        return (bias is null ? result : result + bias).MoveToOuterDisposeScope();
    }

    /// <summary>Whether <see cref="Vectors"/> serves: fp32 in rows, and no gradient is recorded.</summary>
    private static bool IsRead(Tensor x, Tensor weight) =>
        x.dtype == ScalarType.Float32 && weight.dtype == ScalarType.Float32 && weight.is_contiguous() && x.size(-1) == weight.size(1)
        && !(torch.is_grad_enabled() && (x.requires_grad || weight.requires_grad));

    /// <summary>
    /// Products of a matrix and a few vectors, the rows shared out among threads: MKL's runs on one thread, and one thread cannot read as
    /// fast as the memory gives. A row's sum is the same with any number of threads and vectors.
    /// </summary>
    /// <param name="x">[rows, in]</param>
    /// <param name="weight">[out, in], contiguous.</param>
    /// <returns>[rows, out]</returns>
    internal static unsafe Tensor Vectors(Tensor x, Tensor weight)
    {
        int rows = (int)x.size(0), columns = (int)x.size(1), outputs = checked((int)weight.size(0));
        using var input = x.detach().contiguous();
        using var matrix = weight.detach();
        var result = torch.empty([rows, outputs]);
        fixed (float* from = input.AsSpan<float>(), to = result.AsSpan<float>(), first = matrix.AsSpan<float>())
        {
            float* vectors = from, products = to, weights = first;
            RowWorkers.Shared.Run(outputs, weight.numel() < WeightsForThreads ? 1 : torch.get_num_threads(), (begin, end) =>
            {
                for (var output = begin; output < end; output++)
                {
                    for (var row = 0; row < rows; row++)
                        products[(long)row * outputs + output] = Dot(weights + (long)output * columns, vectors + (long)row * columns, columns);
                }
            });
        }
        return result;
    }

    private static unsafe float Dot(float* a, float* b, int count)
    {
        // Four sums, since each addition waits for the one before it.
        Vector512<float> s0 = default, s1 = default, s2 = default, s3 = default;
        var k = 0;
        for (; k <= count - 64; k += 64)
        {
            s0 = Vector512.MultiplyAddEstimate(Vector512.Load(a + k), Vector512.Load(b + k), s0);
            s1 = Vector512.MultiplyAddEstimate(Vector512.Load(a + k + 16), Vector512.Load(b + k + 16), s1);
            s2 = Vector512.MultiplyAddEstimate(Vector512.Load(a + k + 32), Vector512.Load(b + k + 32), s2);
            s3 = Vector512.MultiplyAddEstimate(Vector512.Load(a + k + 48), Vector512.Load(b + k + 48), s3);
        }
        for (; k <= count - 16; k += 16)
            s0 = Vector512.MultiplyAddEstimate(Vector512.Load(a + k), Vector512.Load(b + k), s0);
        var sum = Vector512.Sum(s0 + s1 + (s2 + s3));
        for (; k < count; k++)
            sum = float.MultiplyAddEstimate(a[k], b[k], sum);
        return sum;
    }
}
