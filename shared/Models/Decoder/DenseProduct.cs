namespace Qbb.Models.Decoder;

/// <summary>x Wᵀ + b with plain weights.</summary>
internal static class DenseProduct
{
    /// <summary>
    /// Up to so many rows each is a product of matrix and vector. OpenBLAS packs the whole matrix for a product of matrices, which for one
    /// row costs two to five times the reading of it, and for four rows still more than reading it four times.
    /// </summary>
    private const long MostVectors = 4;

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
        var products = rows == 1
            ? weight.matmul(vectors.select(0, 0))
            : torch.stack([.. Enumerable.Range(0, (int)rows).Select(row => weight.matmul(vectors.select(0, row)))]);
        var result = products.view([.. x.shape[..^1], weight.size(0)]);
        return (bias is null ? result : result + bias).MoveToOuterDisposeScope();
    }
}
