using System.Diagnostics;
using Qbb.Checkpoints;
using Qbb.Cuda;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Calibration;
using Qbb.Recipes;

namespace Qbb.Bench.Shapes;

/// <summary>
/// Output-aware decomposition of a model while random tokens run through it, block by block: random weights of a shape, or a model's own.
/// Nothing is stored.
/// </summary>
/// <param name="shape">The model.</param>
/// <param name="recipe">With importance.</param>
/// <param name="options">How the tokens run.</param>
/// <param name="sequences">How many.</param>
/// <param name="length">Tokens of each.</param>
/// <param name="blocks">Transformer blocks to decompose.</param>
/// <param name="threads">Threads of the CPU's methods.</param>
internal sealed class OutputAwareBench(ModelShape shape, Recipe recipe, CalibrationOptions options, int sequences, int length, int blocks, int threads)
{
    public DecomposeFigures Run(Action<double, double, string> progress, CancellationToken cancel)
    {
        var config = shape.Config with { BlockCount = Math.Min(blocks, shape.Config.BlockCount) };
        var all = shape.Linears(int.MaxValue).Sum(spec => spec.WeightCount);
        using var source = shape.Open();
        var layout = DecoderLayout.Resolve(config, source);
        var count = layout.Linears.Count();
        // Compiles kernels and fills caches.
        Pass(config with { BlockCount = 1 }, source, 1, (_, _) => { }, cancel).Dispose();
        var watch = Stopwatch.StartNew();
        using var sink = Pass(config, source, sequences, (layer, spec) => progress(layer, count, spec.Module), cancel);
        return new DecomposeFigures(
            sink.Weights, all, sink.Seconds, watch.Elapsed.TotalSeconds, PeakMemory.Bytes(options.Device), sink.SquaredError / sink.SquaredNorm)
        {
            OutputErrorAfterStep = [.. sink.Steps.Select(sum => sum / sink.Layers)],
        };
    }

    private BenchSink Pass(DecoderConfig config, ITensorSource source, int count, Action<int, LinearSpec> report, CancellationToken cancel)
    {
        var stream = new CalibrationStream(new RandomSequences(count, length, config.VocabularySize), options);
        var layer = 0;
        var sink = new BenchSink(source, recipe, options.Device, threads, spec => report(++layer, spec));
        stream.Run(config, DecoderLayout.Resolve(config, source), source, sink, cancel);
        if (options.Device.type == DeviceType.CUDA)
            torch.cuda.synchronize(options.Device);
        return sink;
    }
}
