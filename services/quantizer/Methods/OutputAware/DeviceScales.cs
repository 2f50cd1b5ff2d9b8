namespace Qbb.Quantizer.Methods.OutputAware;

/// <summary>
/// <see cref="JointScales"/> on a device: XᵀHX of many rows at a time, group by group as a matrix product of signs and H and a kernel
/// that adds the products up under signs; then Cholesky's factors of all rows at once.
/// </summary>
internal sealed class DeviceScales(DeviceShape shape, DeviceCurvature curvature, DeviceKernels kernels, long batchBytes = 2L << 30)
{
    /// <summary>Replaces scales and biases of a state that is up to date. Errors are not up to date after.</summary>
    public void Run(DeviceState state)
    {
        var type = curvature.Matrix.dtype;
        // Signs and their products with H; the systems, a copy by columns and the factors.
        var perRow = type.ElementSize() * (2L * shape.Unknowns * shape.Columns + 3L * shape.Order * shape.Order);
        var rows = Math.Clamp(batchBytes / perRow, 1, shape.Rows);
        for (long first = 0; first < shape.Rows; first += rows)
        {
            using var scope = torch.NewDisposeScope();
            var count = Math.Min(rows, shape.Rows - first);
            var systems = Systems(state, first, count);
            var right = torch.empty([count, shape.Order, 1], type, systems.device);
            kernels.Pieces("right_sides", count * shape.Groups,
                state.Codes, state.Gradients, right, first, count, shape.Columns, shape.GroupSize, shape.Groups);
            systems.diagonal(1, 2).mul_(1 + JointScales.Ridge);
            var (factors, failed) = torch.linalg.cholesky_ex(systems);
            systems.Dispose();
            var solution = torch.cholesky_solve(right, factors).contiguous();
            kernels.Pieces("change_scales", count * shape.Groups,
                state.Codes, state.Alpha, state.Beta, solution, failed.to(ScalarType.Int32), shape.Rows, first, count, shape.Columns,
                shape.GroupSize, shape.Groups);
        }
    }

    private Tensor Systems(DeviceState state, long first, long count)
    {
        using var scope = torch.NewDisposeScope();
        var (type, device) = (curvature.Matrix.dtype, curvature.Matrix.device);
        var systems = torch.empty([count, shape.Order, shape.Order], type, device);
        var signs = torch.empty([count * shape.Unknowns, shape.Columns], type, device);
        kernels.Elements("spread", count * shape.Columns, state.Codes, signs, first, count, shape.Columns);
        for (var group = 0; group < shape.Groups; group++)
        {
            using var inner = torch.NewDisposeScope();
            var begin = group * shape.GroupSize;
            var (length, width) = (Math.Min(shape.GroupSize, shape.Columns - begin), shape.Columns - begin);
            var products = torch.matmul(signs.narrow(1, begin, length), curvature.Matrix.narrow(0, begin, length).narrow(1, begin, width));
            kernels.Pieces("fold", count * (shape.Groups - group),
                state.Codes, products, systems, first, count, shape.Columns, shape.GroupSize, shape.Groups, group);
        }
        return systems.MoveToOuterDisposeScope();
    }
}
