using System.Reflection;
using Qbb.Torch;
using Qbb.Torch.Cuda;

namespace Qbb.Quantizer.OutputAware;

/// <summary>
/// Column feedback, coordinate descent and measuring for all rows of a layer on a device: one launch for a block of columns
/// (output_aware.cu), one matrix product for all that lie outside. <see cref="ColumnFeedback"/> and <see cref="CoordinateDescent"/> are the
/// plain forms.
/// </summary>
internal sealed class DeviceSteps
{
    /// <summary>Columns of a block.</summary>
    public const int Block = 128;

    private const int ColumnWarps = 16;
    private const int Warps = 8;
    private const int Threads = 256;
    private readonly DeviceShape _shape;
    private readonly Device _device;
    private readonly ScalarType _type;
    private readonly KernelLoader _loader;
    private readonly Tensor _weights;
    private readonly DeviceCurvature _curvature;
    private readonly Tensor _levels;
    private readonly Tensor _middles;
    private readonly Tensor _ranks;
    private readonly Tensor _changes;

    /// <param name="shape">Of the layer.</param>
    /// <param name="weights">[out, in], in the type to calculate in: f64, or f32.</param>
    /// <param name="curvature">In the same type.</param>
    /// <param name="loader">Where kernels come from.</param>
    public DeviceSteps(DeviceShape shape, Tensor weights, DeviceCurvature curvature, KernelLoader loader)
    {
        (_shape, _weights, _curvature, _loader) = (shape, weights, curvature, loader);
        (_device, _type) = (weights.device, weights.dtype);
        var groups = shape.Rows * shape.Groups;
        _levels = torch.empty([groups, shape.Levels], _type, _device);
        _middles = torch.empty([groups, shape.Levels], _type, _device);
        _ranks = torch.empty([groups, shape.Levels], ScalarType.Byte, _device);
        _changes = torch.empty([shape.Rows, Block], _type, _device);
    }

    /// <summary>Brings errors, gradients and objectives up to signs and scales.</summary>
    public void Measure(DeviceState state)
    {
        using var scope = torch.NewDisposeScope();
        Kernel("measure").Launch(Blocks(_shape.Rows * _shape.Columns, Threads), Threads, 0,
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
        var kernel = Kernel("feedback", ColumnWarps);
        for (var first = 0; first < _shape.Columns; first += Block)
        {
            var count = Math.Min(Block, _shape.Columns - first);
            Columns(kernel, ordered, _curvature.Factor, order, _levels, _middles, _ranks, state.Codes, _changes, _shape.Rows, _shape.Columns,
                _shape.GroupSize, _shape.Groups, first, count);
            var behind = _shape.Columns - first - count;
            if (behind > 0)
                ordered.narrow(1, first + count, behind).addmm_(_changes, _curvature.Factor.narrow(0, first, count).narrow(1, first + count, behind), 1, -1);
        }
    }

    /// <summary>One sweep of coordinate descent over the columns of a state that is up to date; keeps it so.</summary>
    public void Descend(DeviceState state)
    {
        using var scope = torch.NewDisposeScope();
        SortLevels(state);
        var kernel = Kernel("descend", ColumnWarps);
        for (var first = 0; first < _shape.Columns; first += Block)
        {
            var count = Math.Min(Block, _shape.Columns - first);
            Columns(kernel, _weights, _curvature.Matrix, _levels, _middles, _ranks, state.Codes, state.Errors, state.Gradients, _changes,
                _shape.Rows, _shape.Columns, _shape.GroupSize, _shape.Groups, first, count);
            state.Gradients.addmm_(_changes.narrow(1, 0, count), _curvature.Matrix.narrow(0, first, count), 1, 1);
        }
        MeasureObjectives(state);
    }

    /// <summary>Lets every row of both states be the better of the two.</summary>
    public void Settle(DeviceState best, DeviceState trial)
    {
        using var scope = torch.NewDisposeScope();
        var objectives = torch.empty_like(best.Objectives);
        Kernel("settle").Launch(checked((int)_shape.Rows), Threads, 0,
            best.Objectives, trial.Objectives, objectives, best.Codes, trial.Codes, best.Alpha, trial.Alpha, best.Beta, trial.Beta,
            best.Errors, trial.Errors, best.Gradients, trial.Gradients, _shape.Rows, _shape.Columns, _shape.Groups);
        best.Objectives.copy_(objectives);
        trial.Objectives.copy_(objectives);
    }

    /// <summary>‖W − Ŵ‖² with the first 1..N bases, then the signs of each basis that differ from <paramref name="before"/>: [2N].</summary>
    public double[] Report(DeviceState state, Tensor before)
    {
        using var scope = torch.NewDisposeScope();
        var sums = torch.empty([_shape.Rows, 2 * _shape.Bases], ScalarType.Float64, _device);
        Kernel("report").Launch(Blocks(_shape.Rows, Warps), Warps * 32, 0,
            _weights, state.Codes, before, state.Alpha, state.Beta, sums, _shape.Rows, _shape.Columns, _shape.GroupSize, _shape.Groups);
        return sums.sum(0).to_array<double>();
    }

    /// <summary>A kernel of output_aware.cu for the layer's shape.</summary>
    public IKernel Kernel(string name, int warps = Warps) => _loader(
        KernelSource.Embedded(
            Assembly.GetExecutingAssembly(), ["bases.cu", "output_aware.cu"], $"-DBASES={_shape.Bases}", $"-DBIAS={(_shape.HasBias ? 1 : 0)}",
            $"-DREAL={(_type == ScalarType.Float64 ? "double" : "float")}", $"-DBLOCK={Block}", $"-DWARPS={warps}"),
        name, _device);

    /// <summary>Launches a kernel that gives a warp to each of <paramref name="count"/> pieces of work.</summary>
    public void Pieces(string name, long count, params ReadOnlySpan<KernelArgument> arguments) =>
        Kernel(name).Launch(Blocks(count, Warps), Warps * 32, 0, arguments);

    /// <summary>Blocks that hold some pieces of work.</summary>
    public static int Blocks(long pieces, int each) => checked((int)((pieces + each - 1) / each));

    private void Columns(IKernel kernel, params ReadOnlySpan<KernelArgument> arguments) =>
        kernel.Launch(Blocks(_shape.Rows, ColumnWarps), ColumnWarps * 32, Block * Block * _type.ElementSize(), arguments);

    private void SortLevels(DeviceState state) =>
        Pieces("sort_levels", _shape.Rows * _shape.Groups, state.Alpha, state.Beta, _levels, _middles, _ranks, _shape.Rows * _shape.Groups);

    private static void MeasureObjectives(DeviceState state)
    {
        using var scope = torch.NewDisposeScope();
        state.Objectives.copy_((state.Errors * state.Gradients).sum(1));
    }
}
