using System.Text.Json.Nodes;
using Qbb.Bases;
using Qbb.Models;
using Qbb.Models.Checkpoints;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Calibration;
using Qbb.Quantizer.Layers;
using Qbb.Quantizer.Recipes;
using Qbb.Torch;

namespace Qbb.Quantizer.Artifacts;

/// <summary>
/// Quantizes the linear layers of a model's transformer blocks, one by one, and writes a Hugging Face folder. Memory holds one layer and
/// its
/// result. Every finished layer is on disk at once: after an interruption, kill -9 included, the same call continues where it
/// stopped. The output appears whole or not at all.
/// </summary>
public sealed class ModelQuantizer
{
    private readonly Recipe _recipe;
    private readonly ILayerMethod _method;
    private readonly CalibrationStream? _calibration;

    /// <param name="recipe">The choices.</param>
    /// <param name="method">What decomposes a layer as the recipe says (<see cref="LayerMethods.For"/>); null for the CPU. Its results must
    /// be <see cref="BinaryBases"/> or <see cref="NestedBases"/>.</param>
    /// <param name="threads">Threads of the CPU's methods; 0 for one per processor. The result does not depend on it.</param>
    /// <param name="calibration">What runs through the model meanwhile, where the recipe's importance is other than none.</param>
    /// <exception cref="InvalidInputException">The recipe asks for calibration and there is none, or the other way round.</exception>
    public ModelQuantizer(Recipe recipe, ILayerMethod? method = null, int threads = 0, CalibrationStream? calibration = null)
    {
        _recipe = recipe.Resolve();
        if (_recipe is { Bits: not null, BasesPerLayer: null })
            throw new InvalidInputException(
                "the recipe gives a budget of bits, and N of each layer is still to be chosen: give --bits, which measures it");
        if (_recipe.Importance != Importance.None && calibration == null)
            throw new InvalidInputException("importance other than none needs calibration data: give --calibration FOLDER or --text FILE");
        if (_recipe.Importance == Importance.None && calibration != null)
            throw new InvalidInputException("calibration data are given but importance is none: leave them out, or ask for importance diag or full");
        _calibration = calibration;
        _method = method ?? LayerMethods.For(_recipe, Device.CPU, threads);
    }

    /// <summary>The hidden folder beside an output where an interrupted run keeps its finished layers.</summary>
    public static string WorkFolderOf(string output) => WorkFolder.PathOf(output);

    /// <summary>Quantizes a model.</summary>
    /// <param name="model">Folder or GGUF file.</param>
    /// <param name="output">The folder to make.</param>
    /// <param name="force">Whether a folder that is there may be replaced; it is, at the very end.</param>
    /// <param name="progress">Told of every finished layer, in the model's order.</param>
    /// <param name="cancellation">Stops after the layer at hand; finished layers stay in <see cref="WorkFolderOf"/> for the next
    /// run.</param>
    /// <exception cref="InvalidInputException">The model or the output cannot be used; nothing is left behind.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled; nothing but the work folder is left.</exception>
    public QuantizedModel Run(
        string model, string output, bool force = false, IProgress<QuantizeProgress>? progress = null,
        CancellationToken cancellation = default)
    {
        if (_recipe.Distillation is not null)
            throw new InvalidInputException("the recipe goes on with a distillation, which needs data beside the model: quantize without it and distil the result");
        CheckOutput(model, output, force);
        using var source = ModelSource.Open(model);
        if (source.ConfigJson["quantization_config"] is JsonObject)
            throw new InvalidInputException($"{model}: is quantized already; give the model that it was made from");
        var config = DecoderConfig.FromJson(source.ConfigJson);
        var layout = DecoderLayout.Resolve(config, source.Tensors);
        var specs = layout.Linears.ToList();
        foreach (var spec in specs)
            CheckShape(source.Tensors, spec);
        CheckBasesPerLayer(specs);
        if (source.Format == ModelSource.Gguf)
            source.LoadTokenizer();
        var digest = ModelDigest.Compute(source, cancellation);
        CheckTeacher(digest);
        using var work = WorkFolder.Open(output, $"{digest} {_recipe.Digest} {_method.Name} {_calibration?.Digest}");
        try
        {
            var layers = specs.Select((spec, index) => (Spec: spec, Path: work.LayerPath(index, spec))).ToList();
            var queue = new LayerQueue(source.Tensors, _method, _recipe.Group, layers, progress);
            if (_calibration == null)
                specs.ForEach(spec => queue.Finish(spec, null, cancellation));
            else
                _calibration.Run(config, layout, source.Tensors, queue, cancellation);
            using var writer = ModelFolderWriter.Create(output, force, work.Assembly);
            var bytes = new ArtifactWriter(source, layers).Write(writer, cancellation);
            var result = new QuantizedModel(Path.GetFullPath(output), queue.Reports, bytes, queue.Resumed)
            {
                Calibration = _calibration == null ? null : new CalibrationRecord(_calibration.Digest, _calibration.Sequences, _calibration.Tokens),
            };
            source.CopySideFiles(writer);
            writer.WriteJson("config.json", Configuration(source));
            writer.WriteText("recipe.json", _recipe.ToCanonicalJson());
            writer.WriteJson("metrics.json", result.ToMetrics(digest, _recipe.Digest));
            writer.WriteText("README.md", ModelCard.Write(source, _recipe, result, digest));
            cancellation.ThrowIfCancellationRequested();
            writer.Commit();
            work.Discard();
            return result;
        }
        catch (InvalidInputException)
        {
            work.Discard();
            throw;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            work.Discard();
            throw new InvalidInputException($"{output}: cannot be written: {error.Message}", error);
        }
    }

    private void CheckTeacher(string digest)
    {
        if (_calibration?.TeacherDigest is { } teacher && teacher != digest)
        {
            throw new InvalidInputException(
                $"the calibration data were sampled from another model (digest {teacher[..Math.Min(12, teacher.Length)]}…, " +
                $"this one has {digest[..12]}…): sample from this one with qbb sample, or give --text");
        }
    }

    private void CheckBasesPerLayer(IReadOnlyList<LinearSpec> specs)
    {
        if (_recipe.BasesPerLayer is not { } perLayer)
            return;
        foreach (var spec in specs)
            _ = perLayer[spec.Module];
        if (perLayer.Count != specs.Count)
        {
            var known = specs.Select(spec => spec.Module).ToHashSet(StringComparer.Ordinal);
            var strange = perLayer.First(layer => !known.Contains(layer.Key)).Key;
            throw new InvalidInputException(
                $"the recipe's basesPerLayer names {strange}, which this model does not have: it belongs to another model");
        }
    }

    private JsonObject Configuration(ModelSource source)
    {
        var config = source.ConfigJson.DeepClone().AsObject();
        var quantization = new JsonObject
        {
            ["quant_method"] = BasesLinearLoader.QuantMethod,
            ["bases"] = _recipe.Bases,
            ["group_size"] = _recipe.Group,
            ["bias"] = _recipe.Bias,
            ["recipe_digest"] = _recipe.Digest,
        };
        if (_recipe.Nested)
            quantization["nested"] = true;
        if (_recipe.BasesPerLayer is { } perLayer)
            quantization["bases_per_layer"] = new JsonObject(perLayer.Select(layer => KeyValuePair.Create(layer.Key, (JsonNode?)layer.Value)));
        config["quantization_config"] = quantization;
        return config;
    }

    /// <summary>Refuses an output that cannot be made, that would replace what it is made from, or that exists.</summary>
    internal static void CheckOutput(string model, string output, bool force)
    {
        var target = Path.TrimEndingDirectorySeparator(Path.GetFullPath(output));
        if (Path.GetFileName(target).Length == 0)
            throw new InvalidInputException($"{output}: is no folder that can be made; give the output a name");
        var input = Path.TrimEndingDirectorySeparator(Path.GetFullPath(model));
        if ((input + "/").StartsWith(target + "/", StringComparison.Ordinal))
            throw new InvalidInputException($"{output}: the output would replace the model {model}; choose another folder");
        ModelFolderWriter.CheckTarget(output, force);
    }

    private static void CheckShape(ITensorSource tensors, LinearSpec spec)
    {
        var shape = tensors.Describe(spec.Weight).Shape;
        var expected = WeightLoader.StoredShape(spec);
        if (!shape.SequenceEqual(expected))
            throw new InvalidInputException(
                $"tensor {spec.Weight} is [{string.Join(", ", shape)}] where config.json asks for [{string.Join(", ", expected)}]");
        if (spec.WeightCount > Array.MaxLength)
            throw new InvalidInputException(
                $"tensor {spec.Weight} has {spec.WeightCount} weights; at most {Array.MaxLength} can be quantized at once");
    }
}
