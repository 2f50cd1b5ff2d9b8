using Qbb.Recipes;

namespace Qbb.Quantizer.Methods.OutputAware;

/// <summary>
/// Column feedback, coordinate descent and measuring for all rows of a layer on a device: one launch for a block of columns
/// (output_aware.cu), one matrix product for all that lie outside. <see cref="ColumnFeedback"/> and <see cref="CoordinateDescent"/> are the
/// plain forms.
/// </summary>
internal sealed class DeviceSteps
{
    private const int Block = DeviceKernels.Block;
    private readonly DeviceShape _shape;
    private readonly DeviceKernels _kernels;
    private readonly Tensor _weights;
    private readonly DeviceCurvature _curvature;
    private readonly Tensor _levels;
    private readonly Tensor _middles;
    private readonly Tensor _ranks;
    private readonly Tensor _changes;

    /// <param name="shape">Of the layer.</param>
    /// <param name="weights">[out, in], in the type to calculate in: f64, or f32.</param>
    /// <param name="curvature">In the same type.</param>
    /// <param name="kernels">For the layer's recipe and the same type.</param>
    public DeviceSteps(DeviceShape shape, Tensor weights, DeviceCurvature curvature, DeviceKernels kernels)
    {
        (_shape, _weights, _curvature, _kernels) = (shape, weights, curvature, kernels);
        var (device, type) = (weights.device, weights.dtype);
        var groups = shape.Rows * shape.Groups;
        _levels = torch.empty([groups, shape.Levels], type, device);
        _middles = torch.empty([groups, shape.Levels], type, device);
        _ranks = torch.empty([groups, shape.Levels], ScalarType.Byte, device);
        _changes = torch.empty([shape.Rows, Block], type, device);
    }

    /// <summary>Brings errors, gradients and objectives up to signs and scales.</summary>
    public void Measure(DeviceState state)
    {
        using var scope = torch.NewDisposeScope();
        _kernels.Elements("measure", _shape.Rows * _shape.Columns,
            _weights, state.Codes, state.Alpha, state.Beta, state.Errors, _shape.Rows, _shape.Columns, _shape.GroupSize, _shape.Groups);
        state.Gradients.addmm_(state.Errors, _curvature.Matrix, 0, 1);
        MeasureObjectives(state);
    }

    /// <summary>Replaces signs by those of GPTQ's loop; scales stay. Errors are not up to date after.</summary>
    public void Feedback(DeviceState state)
    {
        using var scope = torch.NewDisposeScope();
        SortLevels(state);
        var ordered = _weights.index_select(1, _curvature.Order);
        var order = _curvature.Order.to(ScalarType.Int32);
        for (var first = 0; first < _shape.Columns; first += Block)
        {
            var count = Math.Min(Block, _shape.Columns - first);
            _kernels.Columns("feedback", _shape.Rows,
                ordered, _curvature.Factor, order, _levels, _middles, _ranks, state.Codes, _changes, _shape.Rows, _shape.Columns,
                _shape.GroupSize, _shape.Groups, first, count);
            var behind = _shape.Columns - first - count;
            if (behind == 0)
                break;
            var factor = _curvature.Factor.narrow(0, first, count).narrow(1, first + count, behind);
            ordered.narrow(1, first + count, behind).addmm_(_changes, factor, 1, -1);
        }
    }

    /// <summary>One sweep of coordinate descent over the columns of a state that is up to date; keeps it so.</summary>
    public void Descend(DeviceState state)
    {
        using var scope = torch.NewDisposeScope();
        SortLevels(state);
        for (var first = 0; first < _shape.Columns; first += Block)
        {
            var count = Math.Min(Block, _shape.Columns - first);
            _kernels.Columns("descend", _shape.Rows,
                _weights, _curvature.Matrix, _levels, _middles, _ranks, state.Codes, state.Errors, state.Gradients, _changes, _shape.Rows,
                _shape.Columns, _shape.GroupSize, _shape.Groups, first, count);
            state.Gradients.addmm_(_changes.narrow(1, 0, count), _curvature.Matrix.narrow(0, first, count), 1, 1);
        }
        MeasureObjectives(state);
    }

    /// <summary>Lets every row of both states be the better of the two.</summary>
    public void Settle(DeviceState best, DeviceState trial)
    {
        using var scope = torch.NewDisposeScope();
        var objectives = torch.empty_like(best.Objectives);
        _kernels.Rows("settle", _shape.Rows,
            best.Objectives, trial.Objectives, objectives, best.Codes, trial.Codes, best.Alpha, trial.Alpha, best.Beta, trial.Beta,
            best.Errors, trial.Errors, best.Gradients, trial.Gradients, _shape.Rows, _shape.Columns, _shape.Groups);
        best.Objectives.copy_(objectives);
        trial.Objectives.copy_(objectives);
    }

    /// <summary>‖W − Ŵ‖² with the first 1..N bases, then the signs of each basis that differ from <paramref name="before"/>: [2N].</summary>
    public double[] Report(DeviceState state, Tensor before)
    {
        using var scope = torch.NewDisposeScope();
        var sums = torch.empty([_shape.Rows, 2 * _shape.Bases], ScalarType.Float64, _weights.device);
        _kernels.Pieces("report", _shape.Rows,
            _weights, state.Codes, before, state.Alpha, state.Beta, sums, _shape.Rows, _shape.Columns, _shape.GroupSize, _shape.Groups);
        return sums.sum([0]).ToArray<double>();
    }

    private void SortLevels(DeviceState state) =>
        _kernels.Pieces("sort_levels", _shape.Rows * _shape.Groups, state.Alpha, state.Beta, _levels, _middles, _ranks, _shape.Rows * _shape.Groups);

    private static void MeasureObjectives(DeviceState state)
    {
        using var scope = torch.NewDisposeScope();
        state.Objectives.copy_((state.Errors * state.Gradients).sum(1));
    }
}
