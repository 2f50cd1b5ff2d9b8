using System.Text.Json.Nodes;
using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Calibration;
using Qbb.Quantizer.Methods;
using Qbb.Recipes;

namespace Qbb.Quantizer.Driver;

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

    /// <summary>For an embedding of bases, whose rows are looked up: there are no inputs to weigh its errors by.</summary>
    private readonly Lazy<ILayerMethod> _weightsAlone;

    /// <param name="recipe">The choices.</param>
    /// <param name="method">What decomposes a layer as the recipe says (<see cref="LayerMethods.For"/>); null for the CPU. Its results must
    /// be <see cref="BinaryBases"/> or <see cref="NestedBases"/>.</param>
    /// <param name="threads">Threads of the CPU's methods; 0 for one per processor. The result does not depend on it.</param>
    /// <param name="calibration">What runs through the model meanwhile, where the recipe's importance is other than none.</param>
    /// <exception cref="InvalidInputException">The recipe requires calibration and none is given, or the reverse.</exception>
    public ModelQuantizer(Recipe recipe, ILayerMethod? method = null, int threads = 0, CalibrationStream? calibration = null)
    {
        _recipe = recipe.Resolve();
        if (_recipe is { Bits: not null, BasesPerLayer: null })
            throw new InvalidInputException(
                "the recipe gives a budget of bits, and N of each layer is still to be chosen: give --bits, which measures it");
        if (_recipe.Importance != Importance.None && calibration == null)
            throw new InvalidInputException("importance other than none needs calibration data: give --calibration FOLDER or --text FILE");
        if (_recipe.Importance == Importance.None && calibration != null)
            throw new InvalidInputException("calibration data are given with importance none: leave them out, or use importance diag or full");
        _calibration = calibration;
        _method = method ?? LayerMethods.For(_recipe, torch.CPU, threads);
        var weightsAlone = _recipe with { Importance = Importance.None, BasesPerLayer = null, Bits = null, Init = _recipe.Init.NeedsInputs() ? Init.Rtn : _recipe.Init };
        if (_recipe.IsFromRounding)
            weightsAlone = weightsAlone with { Refinement = Refinement.None, Starts = null };
        _weightsAlone = new(() => LayerMethods.For(weightsAlone, torch.CPU, threads));
    }

    /// <summary>Says what a model's digest is; a worker knows it without reading the model.</summary>
    public Func<ModelSource, CancellationToken, string> DigestOf { get; init; } = ModelDigest.Compute;

    /// <summary>The recipe with groups that divide the rows of a model, where its target lets them be chosen (<see cref="Target.FitGroup"/>).</summary>
    /// <exception cref="InvalidInputException">The model cannot be used, or the target holds no such rows.</exception>
    public static Recipe Fit(Recipe recipe, string model)
    {
        if (recipe.Target is null)
            return recipe;
        using var opened = QuantizableModel.Open(model);
        var fitted = Target.FitGroup(recipe, [.. opened.Layers.Select(layer => layer.InFeatures).Distinct()]);
        foreach (var layer in opened.Layers)
            fitted.Target!.At(fitted).CheckRows(layer.Weight, layer.InFeatures);
        return fitted;
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
            throw new InvalidInputException("the recipe has a distillation, which needs data beside the model: quantize without it and distil the result");
        WrittenFiles.CheckTarget(output, force, model);
        using var opened = Open(model);
        var digest = DigestOf(opened.Source, cancellation);
        _calibration?.CheckTeacher(digest);
        using var work = WorkFolder.Open(output, $"{digest} {_recipe.Digest} {_method.Name} {_calibration?.Digest}");
        return work.Finish(output, () =>
        {
            var layers = opened.Layers.Select((spec, index) => (Spec: spec, Path: work.LayerPath(index, spec))).ToList();
            var queue = new LayerQueue(opened, _method, _recipe, layers, progress);
            var embeddings = WriteEmbeddings(opened, work.Layers, cancellation);
            Quantize(opened, work.Layers, queue, null, _ => true, cancellation)?.Dispose();
            using var writer = ModelFolderWriter.Create(output, force, work.Assembly);
            return Write(writer, output, opened, embeddings, layers, queue, digest, cancellation);
        });
    }

    /// <summary>Quantizes some layers only, each into a file of the folder; another call, also on another machine, resumes from there.</summary>
    /// <param name="model">Folder or GGUF file.</param>
    /// <param name="unit">Which layers.</param>
    /// <param name="folder">Gets the files of the unit. Holds those of the layers before, where there is calibration: of the block that the unit is in
    /// with <paramref name="start"/>, else of all.</param>
    /// <param name="start">With calibration what the unit before left, taken over; null to let the data run through the blocks before once more.</param>
    /// <param name="more">Asked before each layer but the first where the unit is open: whether there is time for it, which may be one in the middle of a
    /// block (true).</param>
    /// <param name="cancellation">Stops after the layer at hand.</param>
    /// <returns>What was done: its extent and its files.</returns>
    /// <exception cref="InvalidInputException">The model cannot be used.</exception>
    public QuantizedUnit RunUnit(
        string model, UnitRange unit, string folder, Activations? start, Func<bool, bool> more, CancellationToken cancellation = default)
    {
        using var opened = Open(model);
        if (_calibration != null)
            _calibration.CheckTeacher(DigestOf(opened.Source, cancellation));
        var layers = opened.Layers.Select((spec, index) => (Spec: spec, Path: Path.Combine(folder, LayerFile.NameOf(index, spec)))).ToList();
        var queue = new LayerQueue(opened, _method, _recipe, layers, null, isTimed: false);
        List<LinearSpec> order = _calibration is null ? [.. opened.Layers] : [.. CalibrationStream.Order(opened.Config, opened.Layout)];
        var first = unit.Index * (unit.Size ?? 0);
        var ours = order.Take(first..Math.Min(order.Count, first + (unit.Size ?? order.Count))).ToList();
        var begins = opened.Layout.Blocks.Select(block => order.First(block.Linears.Contains)).ToHashSet();
        var states = Quantize(opened, folder, queue, start, HasTime, cancellation);
        var done = ours.TakeWhile(queue.IsFinished).Select(queue.ResultOf).ToList();
        var size = unit.Size ?? done.Count;
        return new QuantizedUnit(
            [.. done.Select(layer => layer.Path)], [.. done.Select(layer => layer.Report)], (order.Count + size - 1) / size, size, _calibration != null)
        { Activations = states };

        bool HasTime(LinearSpec spec) => ours.Contains(spec) && (unit.Size is not null || spec == ours[0] || more(_calibration is not null && !begins.Contains(spec)));
    }

    /// <summary>Writes the output once the files of all layers are there.</summary>
    /// <param name="model">Folder or GGUF file.</param>
    /// <param name="folder">With the files of all layers.</param>
    /// <param name="output">The folder to make.</param>
    /// <param name="cancellation">Stops between tensors.</param>
    /// <exception cref="InvalidInputException">A layer is missing, or the output cannot be written.</exception>
    public QuantizedModel Assemble(string model, string folder, string output, CancellationToken cancellation = default)
    {
        using var opened = Open(model);
        var layers = opened.Layers.Select((spec, index) => (Spec: spec, Path: Path.Combine(folder, LayerFile.NameOf(index, spec)))).ToList();
        var queue = new LayerQueue(opened, _method, _recipe, layers, null);
        if (layers.FirstOrDefault(layer => !queue.IsFinished(layer.Spec)) is { Spec: { } missing })
            throw new InvalidInputException($"{folder}: the layer {missing.Module} is missing or damaged");
        using var writer = ModelFolderWriter.Create(output, force: false);
        return Write(writer, output, opened, WriteEmbeddings(opened, folder, cancellation), layers, queue, DigestOf(opened.Source, cancellation), cancellation);
    }

    /// <summary>Quantizes layers while there is time; with calibration gives what is behind the last whole block.</summary>
    private Activations? Quantize(
        QuantizableModel opened, string folder, LayerQueue queue, Activations? start, Func<LinearSpec, bool> more, CancellationToken cancellation)
    {
        if (_calibration is null)
        {
            foreach (var spec in opened.Layers.SkipWhile(spec => !more(spec)).TakeWhile(more))
                queue.Finish(spec, null, null, cancellation);
            return null;
        }
        // Embeddings matter where the data begin; what follows does not look at them.
        var embeddings = start is null ? WriteEmbeddings(opened, folder, cancellation) : [];
        using var tensors = Overlaid(opened, embeddings);
        return _calibration.Run(opened.Config, opened.Layout, tensors, queue, start, more, cancellation);
    }

    private static OverlaidTensors Overlaid(QuantizableModel opened, IReadOnlyList<EmbeddingFile> embeddings) =>
        new(opened.Source.Tensors, embeddings.ToDictionary(file => file.Report.Weight, file => file.Open()));

    private QuantizedModel Write(
        ModelFolderWriter writer, string output, QuantizableModel model, IReadOnlyList<EmbeddingFile> embeddings,
        IReadOnlyList<(LinearSpec Spec, string Path)> layers, LayerQueue queue, string digest, CancellationToken cancellation)
    {
        var (source, layout) = (model.Source, model.Layout);
        var files = InputFold.Apply(model, layers, _recipe.Group, Path.GetDirectoryName(layers[0].Path)!);
        foreach (var file in embeddings)
            files.Add(file.Report.Weight, file.Path);
        new ArtifactWriter(source, layout, files).Write(writer, cancellation);
        source.CopySideFiles(writer);
        writer.WriteJson("config.json", Configuration(layout.ConfigJson(model.Config), EmbeddingFile.FormOf(_recipe, layout, model.Config.EmbeddingSize)));
        var before = ModelSize.Of(source);
        var result = new QuantizedModel(Path.GetFullPath(output), queue.Reports, before with { Bytes = writer.Bytes }, queue.Resumed)
        {
            Source = before,
            Embeddings = [.. embeddings.Select(file => file.Report)],
            StartsFrom = source.Packed?.Description,
            Calibration = _calibration == null ? null : new CalibrationRecord(_calibration.Digest, _calibration.Sequences, _calibration.Tokens),
        };
        writer.WriteText("recipe.json", _recipe.ToCanonicalJson());
        writer.WriteJson("metrics.json", result.ToMetrics(digest, _recipe.Digest));
        writer.WriteText("README.md", ModelCard.Write(source, _recipe, result, digest));
        RecipeExports.Write(_recipe, writer.Folder, cancellation);
        cancellation.ThrowIfCancellationRequested();
        writer.Commit();
        return result;
    }

    /// <summary>Embedding and head as the recipe has them; what an earlier run finished is found again.</summary>
    private IReadOnlyList<EmbeddingFile> WriteEmbeddings(QuantizableModel model, string folder, CancellationToken cancellation)
    {
        if (EmbeddingFile.FormOf(_recipe, model.Layout, model.Config.EmbeddingSize) is not { } form)
            return [];
        return [.. model.Layout.Embeddings.Select(weight =>
        {
            var path = Path.Combine(folder, weight == model.Layout.Embedding ? "embedding.safetensors" : "head.safetensors");
            return form is IntegerForm integers
                ? EmbeddingFile.Write(path, model.Source.Tensors, weight, integers, cancellation)
                : EmbeddingFile.Write(path, model.Source.Tensors, weight, (BasesForm)form, _weightsAlone.Value, cancellation);
        })];
    }

    private QuantizableModel Open(string model)
    {
        var opened = QuantizableModel.Open(model);
        try
        {
            CheckBasesPerLayer(opened.Layers);
            foreach (var layer in opened.Layers)
                _recipe.Target?.At(_recipe).CheckRows(layer.Weight, layer.InFeatures);
            return opened;
        }
        catch
        {
            opened.Dispose();
            throw;
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

    private JsonObject Configuration(JsonObject config, MatrixForm? embedding)
    {
        var quantization = new JsonObject
        {
            ["quant_method"] = QbbFormat.Method,
            ["version"] = QbbFormat.Version,
            ["bases"] = _recipe.Bases,
            ["group_size"] = _recipe.Group,
            ["bias"] = _recipe.Bias,
            ["recipe_digest"] = _recipe.Digest,
        };
        if (embedding is not null)
            quantization["embedding"] = embedding.ToJson();
        if (_recipe.Target is { } target)
            quantization["target"] = target.Name;
        if (_recipe.Nested)
            quantization["nested"] = true;
        if (_recipe.BasesPerLayer is { } perLayer)
            quantization["bases_per_layer"] = new JsonObject(perLayer.Select(layer => KeyValuePair.Create(layer.Key, (JsonNode?)layer.Value)));
        config["quantization_config"] = quantization;
        return config;
    }
}
