using System.Diagnostics;
using System.Text.Json.Nodes;
using Qbb.Bases;
using Qbb.Models;
using Qbb.Models.Checkpoints;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Decomposition;
using Qbb.Quantizer.Layers;
using Qbb.Quantizer.Recipes;

namespace Qbb.Quantizer.Artifacts;

/// <summary>
/// Quantizes the linear layers of a model's transformer blocks, one by one, and writes a Hugging Face folder. Memory holds one layer and its
/// result. Every finished layer is on disk at once: after an interruption, kill -9 included, the same call continues where it
/// stopped. The output appears whole or not at all.
/// </summary>
public sealed class ModelQuantizer
{
    private readonly Recipe _recipe;
    private readonly ILayerMethod _method;

    /// <param name="recipe">The choices.</param>
    /// <param name="method">What decomposes a layer as the recipe says; null for the CPU. Its results must be <see cref="BinaryBases"/>.</param>
    public ModelQuantizer(Recipe recipe, ILayerMethod? method = null)
    {
        _recipe = recipe.Resolve();
        _method = method ?? new BasesMethod(_recipe);
    }

    /// <summary>The hidden folder beside an output where an interrupted run keeps its finished layers.</summary>
    public static string WorkFolderOf(string output) => WorkFolder.PathOf(output);

    /// <summary>Quantizes a model.</summary>
    /// <param name="model">Folder or GGUF file.</param>
    /// <param name="options">Where to.</param>
    /// <param name="progress">Told of every finished layer, in the model's order.</param>
    /// <param name="cancellation">Stops after the layer at hand; finished layers stay in <see cref="WorkFolderOf"/> for the next run.</param>
    /// <exception cref="InvalidInputException">The model or the output cannot be used; nothing is left behind.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled; nothing but the work folder is left.</exception>
    public QuantizedModel Run(string model, QuantizeOptions options, IProgress<QuantizeProgress>? progress = null, CancellationToken cancellation = default)
    {
        CheckOutput(model, options);
        using var source = ModelSource.Open(model);
        if (source.ConfigJson["quantization_config"] is JsonObject)
            throw new InvalidInputException($"{model}: is quantized already; give the model that it was made from");
        var layout = DecoderLayout.Resolve(DecoderConfig.FromJson(source.ConfigJson), source.Tensors);
        var specs = layout.Linears.ToList();
        foreach (var spec in specs)
            CheckShape(source.Tensors, spec);
        var digest = ModelDigest.Compute(source, cancellation);
        using var work = WorkFolder.Open(options.Output, $"{digest} {_recipe.Digest} {_method.Name}");
        try
        {
            var layers = specs.Select((spec, index) => (Spec: spec, Path: work.LayerPath(index, spec))).ToList();
            var (reports, resumed) = QuantizeLayers(source.Tensors, layers, progress, cancellation);
            var result = Assemble(source, layers, new QuantizedModel(Path.GetFullPath(options.Output), reports, 0, resumed), work, options, digest, cancellation);
            work.Discard();
            return result;
        }
        catch (OperationCanceledException)
        {
            work.ClearAssembly();
            throw;
        }
        catch (InvalidInputException)
        {
            work.Discard();
            throw;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            work.Discard();
            throw new InvalidInputException($"{options.Output}: cannot be written: {error.Message}", error);
        }
    }

    private (List<LayerReport> Reports, int Resumed) QuantizeLayers(
        ITensorSource tensors, IReadOnlyList<(LinearSpec Spec, string Path)> layers, IProgress<QuantizeProgress>? progress, CancellationToken cancellation)
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

    private QuantizedModel Assemble(
        ModelSource source, IReadOnlyList<(LinearSpec Spec, string Path)> layers, QuantizedModel model, WorkFolder work, QuantizeOptions options, string digest, CancellationToken cancellation)
    {
        work.ClearAssembly();
        var folder = Directory.CreateDirectory(work.Assembly).FullName;
        model = model with { Bytes = new ArtifactWriter(source, layers, folder, options.LargestFile).Write(cancellation) };
        TokenizerFiles.Copy(source, folder);
        Write("config.json", Configuration(source).ToJsonString(MetricsJson.Options) + "\n");
        Write("recipe.json", _recipe.ToCanonicalJson());
        Write("metrics.json", MetricsJson.Write(model, digest, _recipe.Digest));
        Write("README.md", ModelCard.Write(source, _recipe, model, digest));
        cancellation.ThrowIfCancellationRequested();
        Publish(folder, options);
        return model;

        void Write(string name, string text) => File.WriteAllText(Path.Combine(folder, name), text);
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

    /// <summary>Gives the finished folder its name. An old one goes away only after the new one stands.</summary>
    private static void Publish(string folder, QuantizeOptions options)
    {
        var output = Path.TrimEndingDirectorySeparator(Path.GetFullPath(options.Output));
        if (!Path.Exists(output))
        {
            Directory.Move(folder, output);
            return;
        }
        if (!options.Force)
            throw Exists(options.Output);
        var old = WorkFolder.PathOf(output) + "/replaced";
        if (Directory.Exists(old))
            Directory.Delete(old, recursive: true);
        Directory.Move(output, old);
        try
        {
            Directory.Move(folder, output);
        }
        catch
        {
            Directory.Move(old, output);
            throw;
        }
    }

    private static void CheckOutput(string model, QuantizeOptions options)
    {
        var output = Path.TrimEndingDirectorySeparator(Path.GetFullPath(options.Output));
        if (Path.GetFileName(output).Length == 0)
            throw new InvalidInputException($"{options.Output}: is no folder that can be made; give the output a name");
        var input = Path.TrimEndingDirectorySeparator(Path.GetFullPath(model));
        if ((input + "/").StartsWith(output + "/", StringComparison.Ordinal))
            throw new InvalidInputException($"{options.Output}: the output would replace the model {model}; choose another folder");
        if (File.Exists(output))
            throw new InvalidInputException($"{options.Output}: is a file; choose the name of a folder");
        if (Directory.Exists(output) && !options.Force)
            throw Exists(options.Output);
    }

    private static InvalidInputException Exists(string output) => new($"{output}: exists already; choose another output, or replace it with --force");

    private static void CheckShape(ITensorSource tensors, LinearSpec spec)
    {
        var shape = tensors.Describe(spec.Weight).Shape;
        if (!shape.SequenceEqual(WeightLoader.StoredShape(spec)))
            throw new InvalidInputException($"tensor {spec.Weight} is [{string.Join(", ", shape)}] where config.json asks for [{string.Join(", ", WeightLoader.StoredShape(spec))}]");
        if (spec.WeightCount > Array.MaxLength)
            throw new InvalidInputException($"tensor {spec.Weight} has {spec.WeightCount} weights; at most {Array.MaxLength} can be quantized at once");
    }
}
