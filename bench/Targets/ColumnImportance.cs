using Qbb.Bases;
using Qbb.Bench.Shapes;
using Qbb.Checkpoints;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Calibration;
using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.OutputAware;
using Qbb.Recipes;
using Qbb.Workers.Data;

namespace Qbb.Bench.Targets;

/// <summary>
/// The mean square of each input of each layer on sampled text: llama.cpp's importance matrix. Layers before one are rounded to 8 bits meanwhile, which changes
/// it by less than the choice of the text.
/// </summary>
internal sealed class ColumnImportance(ITensorSource source) : ILayerSink, IDisposable
{
    private readonly BenchSink _layers = new(source, new Recipe { Bases = 8, Group = 32, Init = Init.Rtn, Refinement = Refinement.None }.Resolve(), torch.CPU, 0, _ => { });

    /// <summary>By the layer's weight.</summary>
    public Dictionary<string, float[]> Found { get; } = [];

    public static Dictionary<string, float[]> Of(ModelSource model, string samples)
    {
        var config = DecoderConfig.FromJson(model.ConfigJson);
        using var data = SampledTokens.Open(samples, CancellationToken.None);
        using var sink = new ColumnImportance(model.Tensors);
        new CalibrationStream(new SampledSequences(data)).Run(config, DecoderLayout.Resolve(config, model.Tensors), model.Tensors, sink, CancellationToken.None);
        return sink.Found;
    }

    public bool IsFinished(LinearSpec spec) => false;

    public IQuantizedWeight Read(LinearSpec spec) => _layers.Read(spec);

    public void Finish(LinearSpec spec, InputStatistics? inputs, IReadOnlyList<LinearSpec>? readers, CancellationToken cancellation)
    {
        var mean = inputs!.Mean();
        Found[spec.Weight] = [.. Enumerable.Range(0, inputs.Features).Select(column => (float)mean[column * inputs.Features + column])];
        _layers.Finish(spec, inputs, readers, cancellation);
    }

    public void Dispose() => _layers.Dispose();
}
