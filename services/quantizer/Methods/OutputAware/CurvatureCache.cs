namespace Qbb.Quantizer.Methods.OutputAware;

/// <summary>
/// The curvature of the last layer: layers that read the same inputs (queries, keys and values, or gate and up) follow one another and
/// share it.
/// </summary>
internal sealed class CurvatureCache : IDisposable
{
    private InputStatistics? _inputs;
    private long _count;
    private DeviceCurvature? _curvature;

    /// <summary>The curvature of some inputs; good until that of others is requested.</summary>
    public DeviceCurvature Of(InputStatistics inputs, Func<DeviceCurvature> make)
    {
        if (_curvature is not null && ReferenceEquals(_inputs, inputs) && _count == inputs.Count)
            return _curvature;
        Dispose();
        using var scope = torch.NewDisposeScope();
        var made = make();
        foreach (var tensor in Tensors(made))
            tensor.DetachFromDisposeScope();
        (_inputs, _count, _curvature) = (inputs, inputs.Count, made);
        return made;
    }

    public void Dispose()
    {
        if (_curvature is not null)
        {
            foreach (var tensor in Tensors(_curvature))
                tensor.Dispose();
        }
        (_inputs, _curvature) = (null, null);
    }

    private static Tensor[] Tensors(DeviceCurvature curvature) => [curvature.Matrix, curvature.Order, curvature.Factor, curvature.Importance];
}
