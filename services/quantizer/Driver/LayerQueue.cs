using System.Diagnostics;
using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Calibration;
using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.OutputAware;
using Qbb.Recipes;

namespace Qbb.Quantizer.Driver;

/// <summary>Quantizes the layers of one model, each into a file of its own as soon as it is done, and keeps count.</summary>
internal sealed class LayerQueue : ILayerSink
{
    private readonly QuantizableModel _model;
    private readonly ILayerMethod _method;
    private readonly Recipe _recipe;
    private readonly IReadOnlyList<(LinearSpec Spec, string Path)> _layers;
    private readonly Dictionary<string, int> _places;
    private readonly LayerReport?[] _reports;
    private readonly bool[] _counted;
    private readonly IProgress<QuantizeProgress>? _progress;
    private readonly bool _isTimed;
    private readonly Stopwatch _clock = Stopwatch.StartNew();
    private long _left;
    private long _quantized;
    private int _done;

    /// <param name="model">The model.</param>
    /// <param name="method">What quantizes a layer.</param>
    /// <param name="recipe">What the method carries out.</param>
    /// <param name="layers">All layers and their files; a layer whose file exists is finished.</param>
    /// <param name="progress">Told of every finished layer.</param>
    /// <param name="isTimed">False: the time that a layer took is left out, so that the same layer is the same file whenever and wherever it is made.</param>
    public LayerQueue(
        QuantizableModel model, ILayerMethod method, Recipe recipe, IReadOnlyList<(LinearSpec Spec, string Path)> layers,
        IProgress<QuantizeProgress>? progress, bool isTimed = true)
    {
        (_model, _method, _recipe, _layers, _progress, _isTimed) = (model, method, recipe, layers, progress, isTimed);
        _places = layers.Select((layer, place) => (layer.Spec.Module, place)).ToDictionary(layer => layer.Module, layer => layer.place);
        _reports = [.. layers.Select(layer => LayerFile.TryReadReport(layer.Path, layer.Spec))];
        _counted = new bool[layers.Count];
        _left = layers.Sum(layer => layer.Spec.WeightCount);
    }

    /// <summary>Reports of all layers, in the model's order, once all are finished.</summary>
    public IReadOnlyList<LayerReport> Reports => [.. _reports.Select(report => report!)];

    /// <summary>File and report of a layer that is finished.</summary>
    public (string Path, LayerReport Report) ResultOf(LinearSpec spec) => (_layers[_places[spec.Module]].Path, _reports[_places[spec.Module]]!);

    /// <summary>Layers that an earlier run had finished, of those counted so far.</summary>
    public int Resumed { get; private set; }

    /// <inheritdoc/>
    public bool IsFinished(LinearSpec spec) => _reports[_places[spec.Module]] != null;

    /// <inheritdoc/>
    public void Finish(LinearSpec spec, InputStatistics? inputs, IReadOnlyList<LinearSpec>? readers, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        var place = _places[spec.Module];
        if (_counted[place])
            return;
        var found = _reports[place] != null;
        if (found)
        {
            Resumed++;
        }
        else
        {
            _reports[place] = Quantize(spec, _layers[place].Path, inputs, readers, cancellation);
            _quantized += spec.WeightCount;
        }
        _counted[place] = true;
        _left -= spec.WeightCount;
        _done++;
        TimeSpan? remaining = _quantized == 0 ? null : _clock.Elapsed * ((double)_left / _quantized);
        _progress?.Report(new QuantizeProgress(spec.Module, _reports[place]!.RelativeError, _done, _layers.Count, remaining, found));
    }

    /// <inheritdoc/>
    public IQuantizedWeight Read(LinearSpec spec) => LayerFile.Read(_layers[_places[spec.Module]].Path, spec, _recipe.Group);

    private LayerReport Quantize(LinearSpec spec, string path, InputStatistics? inputs, IReadOnlyList<LinearSpec>? readers, CancellationToken cancellation)
    {
        var weights = Load(spec, inputs, readers is null ? null : new LayerPlace(
            spec.Role, InputFold.Of(_model.Config, _model.Layout.Blocks[spec.Block], spec) is not null, () => [.. readers.Select(reader => Load(reader, inputs, null))]));
        // A target has no power of two beside its scales.
        var result = _recipe.Target is null ? _method.QuantizeInRange(weights, cancellation) : _method.Quantize(weights, cancellation);
        var report = _isTimed ? result.Report : result.Report with { Seconds = 0 };
        LayerFile.Write(path, spec, result.Weight, report);
        return report;
    }

    private LayerWeights Load(LinearSpec spec, InputStatistics? inputs, LayerPlace? place)
    {
        var values = new float[spec.WeightCount];
        WeightLoader.ReadWeight(_model.Source.Tensors, spec, values);
        return new LayerWeights(spec.Weight, spec.OutFeatures, spec.InFeatures, values) { Inputs = inputs, Place = place };
    }
}

/// <summary>One more layer is finished and on disk.</summary>
/// <param name="Layer">Name of the linear layer.</param>
/// <param name="RelativeError">‖W − Ŵ‖²/‖W‖².</param>
/// <param name="Done">Finished layers.</param>
/// <param name="Total">Layers of the model.</param>
/// <param name="Remaining">Estimate of the time left, from the weights that are left; null before the first layer of this run.</param>
/// <param name="Resumed">The layer was finished by an earlier run.</param>
public sealed record QuantizeProgress(string Layer, double RelativeError, int Done, int Total, TimeSpan? Remaining, bool Resumed);
