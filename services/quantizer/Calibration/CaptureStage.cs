namespace Qbb.Quantizer.Calibration;

/// <summary>
/// Ends a forward pass through a block where the last layer of a stage has seen its inputs: what comes behind is calculated when its own
/// stage asks for it, and is more than half of a block on average.
/// </summary>
/// <param name="captures">Layers that look at their inputs in one pass.</param>
internal sealed class CaptureStage(int captures)
{
    private int _left;

    /// <summary>Runs a pass that ends early.</summary>
    public void Run(Func<Tensor> forward)
    {
        _left = captures;
        try
        {
            forward();
        }
        catch (Complete)
        {
        }
        if (_left != 0)
            throw new InvalidOperationException($"{_left} of {captures} layers saw no inputs in a pass through their block");
    }

    /// <summary>A layer has seen its inputs.</summary>
    public void Seen()
    {
        if (--_left == 0)
            throw new Complete();
    }

    private sealed class Complete : Exception;
}
