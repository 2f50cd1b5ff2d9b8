namespace Qbb.Cli.Benchmarks;

/// <summary>What decomposing a model's shape took.</summary>
/// <param name="Weights">Weights that were decomposed.</param>
/// <param name="AllWeights">Weights of the whole model's linear layers.</param>
/// <param name="Seconds">Time of the decomposition alone.</param>
/// <param name="TotalSeconds">The same with making the random weights, and with the calibration where there is one.</param>
/// <param name="PeakBytes">Most memory at a time: on a GPU in tensors, on the CPU of the process.</param>
/// <param name="ReservedBytes">Most memory that libtorch held from the driver; 0 on the CPU.</param>
/// <param name="RelativeError">‖W − Ŵ‖²/‖W‖² over all layers.</param>
internal sealed record DecomposeFigures(
    long Weights, long AllWeights, double Seconds, double TotalSeconds, long PeakBytes, long ReservedBytes, double RelativeError)
{
    /// <summary>Error of the layers' outputs after each step of the output-aware method, relative to the outputs, mean over layers.</summary>
    public IReadOnlyList<double> OutputErrorAfterStep { get; init; } = [];

    public double SecondsPer100M => Seconds / Weights * 1e8;

    /// <summary>Time of the whole model at the rate of what was decomposed.</summary>
    public double WholeSeconds => Seconds / Weights * AllWeights;
}
