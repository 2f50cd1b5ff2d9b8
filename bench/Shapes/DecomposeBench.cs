using System.Diagnostics;
using Qbb.Cuda;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Driver;
using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.Alternating;
using Qbb.Recipes;

namespace Qbb.Bench.Shapes;

/// <summary>Decomposes random weights of a model's shape, one layer in memory at a time and none stored.</summary>
/// <param name="shape">The model.</param>
/// <param name="recipe">How.</param>
/// <param name="device">Where.</param>
/// <param name="blocks">Transformer blocks to decompose.</param>
/// <param name="plain">On a GPU: tensors alone, without fused kernels.</param>
/// <param name="threads">Threads of the CPU's methods.</param>
internal sealed class DecomposeBench(ModelShape shape, Recipe recipe, Device device, int blocks, bool plain, int threads)
{
    // The size of a trained model's weights; Gaussian ones are the harder case for the time, since no round converges early.
    private const double Deviation = 0.02;
    private double _error;
    private double _norm;

    public DecomposeFigures Run(Action<double, double, string> progress, CancellationToken cancel)
    {
        var specs = shape.Linears(blocks);
        var all = shape.Linears(int.MaxValue).Sum(spec => spec.WeightCount);
        torch.manual_seed(1);
        using var off = torch.no_grad();
        var decompose = Decomposer();
        // Compiles kernels and fills caches.
        Layer(specs[0], decompose, cancel);
        (_error, _norm) = (0, 0);
        var (total, seconds) = (Stopwatch.StartNew(), 0.0);
        for (var k = 0; k < specs.Count; k++)
        {
            progress(k, specs.Count, specs[k].Module);
            seconds += Layer(specs[k], decompose, cancel);
        }
        return new DecomposeFigures(
            specs.Sum(spec => spec.WeightCount), all, seconds, total.Elapsed.TotalSeconds, PeakMemory.Bytes(device), _error / _norm);
    }

    private double Layer(LinearSpec spec, Action<LinearSpec, Tensor, CancellationToken> decompose, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        using var scope = torch.NewDisposeScope();
        var weight = torch.empty([spec.OutFeatures, spec.InFeatures], device: device).normal_(0, Deviation);
        Synchronize();
        var watch = Stopwatch.StartNew();
        decompose(spec, weight, cancel);
        Synchronize();
        return watch.Elapsed.TotalSeconds;
    }

    private Action<LinearSpec, Tensor, CancellationToken> Decomposer()
    {
        if (device.type == DeviceType.CUDA)
        {
            var batched = new TorchAlternating(recipe, device, 3L << 30, plain ? null : KernelModule.LoadKernel);
            return (spec, weight, cancel) =>
            {
                using var found = batched.Decompose(weight, spec.Module, cancel);
                Count(found.Errors[^1], found.SquaredNorm);
            };
        }
        var method = LayerMethods.For(recipe, device, threads);
        return (spec, weight, cancel) =>
        {
            var report = method.Quantize(new LayerWeights(spec.Module, spec.OutFeatures, spec.InFeatures, weight.ToArray<float>()), cancel).Report;
            Count(report.SquaredError, report.SquaredNorm);
        };
    }

    private void Count(double error, double norm) => (_error, _norm) = (_error + error, _norm + norm);

    private void Synchronize()
    {
        if (device.type == DeviceType.CUDA)
            torch.cuda.synchronize(device);
    }
}

/// <summary>What decomposing a model's shape took.</summary>
/// <param name="Weights">Weights that were decomposed.</param>
/// <param name="AllWeights">Weights of the whole model's linear layers.</param>
/// <param name="Seconds">Time of the decomposition alone.</param>
/// <param name="TotalSeconds">The same with making the random weights, and with the calibration where there is one.</param>
/// <param name="PeakBytes">Most memory at a time: taken on the GPU, or of the process.</param>
/// <param name="RelativeError">‖W − Ŵ‖²/‖W‖² over all layers.</param>
internal sealed record DecomposeFigures(
    long Weights, long AllWeights, double Seconds, double TotalSeconds, long PeakBytes, double RelativeError)
{
    /// <summary>Error of the layers' outputs after each step of the output-aware method, relative to the outputs, mean over layers.</summary>
    public IReadOnlyList<double> OutputErrorAfterStep { get; init; } = [];

    public double SecondsPer100M => Seconds / Weights * 1e8;

    /// <summary>Time of the whole model at the rate of what was decomposed.</summary>
    public double WholeSeconds => Seconds / Weights * AllWeights;
}
