using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Distillation;
using Qbb.Quantizer.Methods;
using Qbb.Recipes;

namespace Qbb.Quantizer.Calibration;

/// <summary>
/// Measures what quantizing one linear layer at a time, at each N, does to a model: the KL from its own predictions, on sequences that the
/// layers were not calibrated on. The hidden states before each block are kept, so only the blocks from the changed one on run again.
/// </summary>
/// <param name="recipe">How layers are quantized; its N does not count.</param>
/// <param name="methodFor">What carries out a recipe of one N.</param>
/// <param name="options">The range of N, and how much to measure on.</param>
public sealed class SensitivityMeter(Recipe recipe, Func<Recipe, ILayerMethod> methodFor, SensitivityOptions options)
{
    private readonly Recipe _recipe = (recipe with { Bits = null, BasesPerLayer = null, Bases = options.MostBases }).Resolve();

    /// <summary>Measures all layers.</summary>
    /// <param name="model">Folder or GGUF file, not quantized.</param>
    /// <param name="data">Sequences that the model sampled, or a text.</param>
    /// <param name="progress">Told after every figure.</param>
    /// <param name="cancellation">Stops between two figures.</param>
    /// <exception cref="InvalidInputException">Model and data do not go together, or the data are too few.</exception>
    public Sensitivity Run(
        string model, ITokenSequences data, IProgress<SensitivityProgress>? progress = null, CancellationToken cancellation = default)
    {
        options.Validate();
        using var off = torch.no_grad();
        using var source = ModelSource.Open(model);
        if (BasesLinearLoader.For(source) is not null)
            throw new InvalidInputException($"{model}: is quantized already", "give the model that it was made from");
        var digest = ModelDigest.Compute(source, cancellation);
        if (data.TeacherDigest is { } teacher && teacher != digest)
            throw new InvalidInputException(
                "the calibration data were sampled from another model", "sample from this one with qbb sample, or give --text");
        var (measured, calibrating) = Split(data);
        using var transformer = Transformer.Load(source, options.Device, options.DType);
        using var stream = new SensitivityStream(transformer, new SequenceBatches(measured, null, options.TokensPerBatch), options);
        using var inputs = _recipe.Importance == Importance.None
            ? null
            : new SensitivityStream(transformer, new SequenceBatches(calibrating, null, options.TokensPerBatch), options);
        stream.Start(withTruth: true, cancellation);
        inputs?.Start(withTruth: false, cancellation);
        var layers = new List<LayerSensitivity>();
        var counts = Enumerable.Range(options.FewestBases, options.MostBases - options.FewestBases + 1).ToList();
        var methods = counts.ToDictionary(count => count, count => methodFor(_recipe with { Bases = count }));
        try
        {
            var work = new Work(transformer.Blocks.Select(block => block.Layout.Linears.Count * counts.Count).ToList());
            for (var index = 0; index < transformer.Blocks.Count; index++)
            {
                var block = transformer.Blocks[index];
                using var statistics = inputs?.Capture(index, cancellation);
                foreach (var spec in block.Layout.Linears)
                {
                    var values = new float[spec.WeightCount];
                    WeightLoader.ReadWeight(source.Tensors, spec, values);
                    var weights = new LayerWeights(spec.Weight, spec.OutFeatures, spec.InFeatures, values) { Inputs = statistics?.Of(spec) };
                    layers.Add(Measure(
                        index, spec, weights, counts, methods, source, stream, kl => progress?.Report(work.Next(kl, index)), cancellation));
                }
                stream.Pass(index, cancellation);
                inputs?.Pass(index, cancellation);
            }
        }
        finally
        {
            foreach (var method in methods.Values)
                (method as IDisposable)?.Dispose();
        }
        return new Sensitivity(digest, IdentityOf(data), _recipe.Digest, options.FewestBases, layers);
    }

    /// <summary>Whether figures are those that <see cref="Run"/> would measure.</summary>
    public bool Fits(Sensitivity found, string modelDigest, ITokenSequences data) =>
        found.Model == modelDigest && found.Data == IdentityOf(data) && found.Recipe == _recipe.Digest
        && found.FewestBases == options.FewestBases;

    private LayerSensitivity Measure(
        int index, LinearSpec spec, LayerWeights weights, List<int> counts, Dictionary<int, ILayerMethod> methods, ModelSource source,
        SensitivityStream stream, Action<(string Layer, int Bases, double Kl)> tell, CancellationToken cancellation)
    {
        var (kl, bits) = (new List<double>(), new List<long>());
        foreach (var count in counts)
        {
            cancellation.ThrowIfCancellationRequested();
            var bases = (BinaryBases)methods[count].QuantizeInRange(weights, cancellation).Weight;
            using var changed = ExpandedLinear.Create(bases, source.Tensors, spec, options.Device, options.DType);
            kl.Add(stream.DivergenceWith(index, spec.Role, changed, cancellation));
            bits.Add(8 * bases.StoredBytes);
            tell((spec.Module, count, kl[^1]));
        }
        return new LayerSensitivity(spec.Module, spec.WeightCount, kl, bits);
    }

    /// <summary>Sequences to measure on, spread evenly, and the others.</summary>
    private (ITokenSequences Measured, ITokenSequences Calibrating) Split(ITokenSequences data)
    {
        if (data.Count <= options.Sequences)
            throw new InvalidInputException(
                $"the data hold {data.Count} sequences; measuring sensitivities takes {options.Sequences} (--sensitivity-sequences) and at least "
                + "one more to calibrate on: sample more");
        var measured = EvenSpread.Of(options.Sequences, data.Count).ToHashSet();
        var others = Enumerable.Range(0, data.Count).Where(k => !measured.Contains(k)).ToList();
        var most = Math.Min(others.Count, options.MostCalibrationSequences);
        return (
            new SequenceSubset(data, [.. measured.Order()]),
            new SequenceSubset(data, [.. EvenSpread.Of(most, others.Count).Select(index => others[index])]));
    }

    private string IdentityOf(ITokenSequences data) => $"{data.Digest}/{options.Sequences}/{options.MostCalibrationSequences}";

    /// <summary>Counts forward passes of blocks: a figure of block i of L takes L − i of them.</summary>
    private sealed class Work(List<int> figures)
    {
        private readonly double _total = figures.Select((count, index) => (double)count * (figures.Count - index)).Sum();
        private double _done;

        public SensitivityProgress Next((string Layer, int Bases, double Kl) figure, int index)
        {
            _done += figures.Count - index;
            return new SensitivityProgress(figure.Layer, figure.Bases, figure.Kl, _done, _total);
        }
    }
}
