using System.Diagnostics;
using System.Text.Json.Nodes;
using Qbb.Bases;
using Qbb.Models;
using Qbb.Models.Checkpoints;
using Qbb.Models.Decoder;
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

    /// <param name="recipe">The choices.</param>
    /// <param name="method">What decomposes a layer as the recipe says (<see cref="LayerMethods.For"/>); null for the CPU. Its results must
    /// be <see cref="BinaryBases"/>.</param>
    /// <param name="threads">Threads of the CPU's methods; 0 for one per processor. The result does not depend on it.</param>
    public ModelQuantizer(Recipe recipe, ILayerMethod? method = null, int threads = 0)
    {
        _recipe = recipe.Resolve();
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
        var layout = DecoderLayout.Resolve(DecoderConfig.FromJson(source.ConfigJson), source.Tensors);
        var specs = layout.Linears.ToList();
        foreach (var spec in specs)
            CheckShape(source.Tensors, spec);
        if (source.Format == ModelSource.Gguf)
            source.LoadTokenizer();
        var digest = ModelDigest.Compute(source, cancellation);
        using var work = WorkFolder.Open(output, $"{digest} {_recipe.Digest} {_method.Name}");
        try
        {
            var layers = specs.Select((spec, index) => (Spec: spec, Path: work.LayerPath(index, spec))).ToList();
            var (reports, resumed) = QuantizeLayers(source.Tensors, layers, progress, cancellation);
            using var writer = ModelFolderWriter.Create(output, force, work.Assembly);
            var bytes = new ArtifactWriter(source, layers).Write(writer, cancellation);
            var result = new QuantizedModel(Path.GetFullPath(output), reports, bytes, resumed);
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

    private (List<LayerReport> Reports, int Resumed) QuantizeLayers(
        ITensorSource tensors, IReadOnlyList<(LinearSpec Spec, string Path)> layers, IProgress<QuantizeProgress>? progress,
        CancellationToken cancellation)
    {
        var reports = new List<LayerReport>();
        var resumed = 0;
        var clock = new Stopwatch();
        var left = layers.Sum(layer => layer.Spec.WeightCount);
        var quantized = 0L;
        foreach (var (spec, path) in layers)
        {
            cancellation.ThrowIfCancellationRequested();
            var report = LayerFile.TryReadReport(path, spec);
            var found = report != null;
            if (report == null)
            {
                clock.Start();
                report = QuantizeLayer(tensors, spec, path, cancellation);
                clock.Stop();
                quantized += spec.WeightCount;
            }
            else
            {
                resumed++;
            }
            left -= spec.WeightCount;
            reports.Add(report);
            TimeSpan? remaining = quantized == 0 ? null : clock.Elapsed * ((double)left / quantized);
            progress?.Report(new QuantizeProgress(spec.Module, report.RelativeError, reports.Count, layers.Count, remaining, found));
        }
        return (reports, resumed);
    }

    private LayerReport QuantizeLayer(ITensorSource tensors, LinearSpec spec, string path, CancellationToken cancellation)
    {
        var values = new float[spec.WeightCount];
        WeightLoader.ReadWeight(tensors, spec, values);
        var result = _method.Quantize(new LayerWeights(spec.Weight, spec.OutFeatures, spec.InFeatures, values), cancellation);
        LayerFile.Write(path, spec, (BinaryBases)result.Weight, result.Report);
        return result.Report;
    }

    private JsonObject Configuration(ModelSource source)
    {
        var config = source.ConfigJson.DeepClone().AsObject();
        config["quantization_config"] = new JsonObject
        {
            ["quant_method"] = BasesLinearLoader.QuantMethod,
            ["bases"] = _recipe.Bases,
            ["group_size"] = _recipe.Group,
            ["bias"] = _recipe.Bias,
            ["recipe_digest"] = _recipe.Digest,
        };
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
