using System.Diagnostics;
using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Calibration;
using Qbb.Quantizer.Driver;
using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.OutputAware;
using Qbb.Recipes;

namespace Qbb.Bench.Shapes;

/// <summary>Decomposes the layers that a calibration comes by and keeps them no longer than the calibration needs them.</summary>
internal sealed class BenchSink(ITensorSource source, Recipe recipe, Device device, int threads, Action<LinearSpec> report) : ILayerSink, IDisposable
{
    private readonly ILayerMethod _method = LayerMethods.For(recipe, device, threads);
    private (LinearSpec Spec, IQuantizedWeight Weight)? _last;

    /// <summary>Time of the decomposition alone.</summary>
    public double Seconds { get; private set; }

    public long Weights { get; private set; }

    public double SquaredError { get; private set; }

    public double SquaredNorm { get; private set; }

    /// <summary>Sum over layers of the error of their outputs after each step, relative to their outputs.</summary>
    public double[] Steps { get; private set; } = [];

    public int Layers { get; private set; }

    public bool IsFinished(LinearSpec spec) => false;

    public IQuantizedWeight Read(LinearSpec spec) => _last is { } last && last.Spec == spec ? last.Weight : throw new InvalidOperationException($"{spec.Module} is not kept");

    public void Finish(LinearSpec spec, InputStatistics? inputs, IReadOnlyList<LinearSpec>? readers, CancellationToken cancellation)
    {
        using var scope = torch.NewDisposeScope();
        var stored = WeightLoader.Load(source, spec.Weight, WeightLoader.StoredShape(spec), device, ScalarType.Float32);
        using var owned = stored;
        var weight = spec.Transposed ? stored.t().contiguous() : stored;
        Synchronize();
        var watch = Stopwatch.StartNew();
        var result = Decompose(spec, weight, inputs!, cancellation);
        Seconds += watch.Elapsed.TotalSeconds;
        _last = (spec, result.Weight);
        Count(result.Report);
        report(spec);
    }

    public void Dispose() => (_method as IDisposable)?.Dispose();

    private LayerResult Decompose(LinearSpec spec, Tensor weight, InputStatistics inputs, CancellationToken cancellation)
    {
        if (_method is TorchOutputAware onDevice)
            return onDevice.Quantize(weight, inputs, spec.Module, cancellation);
        var values = weight.ToArray<float>();
        return _method.Quantize(new LayerWeights(spec.Module, spec.OutFeatures, spec.InFeatures, values) { Inputs = inputs }, cancellation);
    }

    private void Count(LayerReport layer)
    {
        Layers++;
        Weights += layer.Weights;
        SquaredError += layer.SquaredError;
        SquaredNorm += layer.SquaredNorm;
        if (layer.Output is not { } output)
            return;
        if (Steps.Length == 0)
            Steps = new double[output.AfterStep.Count];
        for (var step = 0; step < Steps.Length; step++)
            Steps[step] += output.AfterStep[step] / output.Norm;
    }

    private void Synchronize()
    {
        if (device.type == DeviceType.CUDA)
            torch.cuda.synchronize(device);
    }
}
