namespace Qbb.Quantizer.Methods;

/// <summary>
/// Second moments of the inputs of one linear layer, H = E[xxᵀ]: products in the inputs' precision (fp32 at least), summed in double
/// over the batches. Lives on the device of the first batch.
/// </summary>
/// <param name="features">in, the layer's inputs.</param>
public sealed class InputStatistics(int features) : IDisposable
{
    /// <summary>The damping that a first attempt gets, relative to the mean of H's diagonal (as GPTQ's).</summary>
    public const double Damping = 0.01;

    private Tensor? _sum;
    private Tensor? _sizes;

    /// <summary>in.</summary>
    public int Features => features;

    /// <summary>Inputs seen.</summary>
    public long Count { get; private set; }

    /// <summary>Adds inputs.</summary>
    /// <param name="x">[…, in], any floating-point type.</param>
    public void Add(Tensor x)
    {
        using var scope = torch.NewDisposeScope();
        using var off = torch.no_grad();
        var rows = x.detach().reshape(-1, features);
        var product = Product(rows);
        var sizes = rows.abs().sum(0, type: ScalarType.Float64);
        if (_sum is null)
            (_sum, _sizes) = (product.to(ScalarType.Float64).clone().DetachFromDisposeScope(), sizes.DetachFromDisposeScope());
        else
            (_, _) = (_sum.add_(product.to(ScalarType.Float64)), _sizes!.add_(sizes));
        Count += rows.size(0);
    }

    /// <summary>H, row-major [in, in], exactly symmetric; 0 before the first input.</summary>
    public double[] Mean()
    {
        using var scope = torch.NewDisposeScope();
        return Mean(torch.CPU).ToArray<double>();
    }

    /// <summary>The same as f64 [in, in] on a device.</summary>
    public Tensor Mean(Device device)
    {
        if (_sum is null)
            return torch.zeros([features, features], ScalarType.Float64, device);
        using var scope = torch.NewDisposeScope();
        // A product of fp32 is symmetric only up to rounding.
        var sum = _sum.to(device);
        return (sum + sum.t()).div_(2 * Count).MoveToOuterDisposeScope();
    }

    /// <summary>E|x| of every input [in]; 0 before the first.</summary>
    public double[] MeanSizes()
    {
        if (_sizes is null)
            return new double[features];
        using var scope = torch.NewDisposeScope();
        return (_sizes / Count).ToArray<double>();
    }

    /// <summary>
    /// H_jj + damping of every input [in]: what an error in a column counts where columns do not help one another. 1 for all where no
    /// input was ever other than 0.
    /// </summary>
    public double[] Importance()
    {
        var diagonal = new double[features];
        if (_sum is not null)
        {
            using var scope = torch.NewDisposeScope();
            diagonal = (_sum.diagonal() / Count).ToArray<double>();
        }
        var damping = Damping * diagonal.Average();
        for (var j = 0; j < features; j++)
            diagonal[j] = damping > 0 ? diagonal[j] + damping : 1;
        return diagonal;
    }

    public void Dispose()
    {
        _sum?.Dispose();
        _sizes?.Dispose();
    }

    private static Tensor Product(Tensor rows)
    {
        // Products of 16-bit numbers are exact in fp32, in which the GPU's matrix units sum them, ten times faster than fp32 itself.
        if (rows.dtype is ScalarType.BFloat16 or ScalarType.Float16 && rows.device_type == DeviceType.CUDA)
            return torch.mm(rows.t(), rows, ScalarType.Float32);
        if (rows.dtype != ScalarType.Float64)
            rows = rows.to(ScalarType.Float32);
        return torch.matmul(rows.t(), rows);
    }
}
