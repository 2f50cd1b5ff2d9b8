using System.Text.Json;
using System.Text.Json.Nodes;
using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Quantizer.Calibration;
using Qbb.Quantizer.Methods;
using Qbb.Recipes;

namespace Qbb.Quantizer.Driver;

/// <summary>
/// Quantizes the layers of a model by a method whose results are no bases, and writes them as plain weights of 16 bits, under Hugging Face's
/// names: for comparisons. <c>metrics.json</c> has the bits that the method's own codes would take. Resumes as <see cref="ModelQuantizer"/> does.
/// </summary>
/// <param name="method">Its results must be <see cref="Methods.Lattice.LatticeWeight"/>.</param>
/// <param name="calibration">What runs through the model meanwhile.</param>
public sealed class PlainQuantizer(ILayerMethod method, CalibrationStream calibration)
{
    /// <summary>Layers are stored without groups, and nothing restricts their levels.</summary>
    private static readonly Recipe s_recipe = new() { Group = null, Importance = Importance.Full };

    /// <summary>Bits per weight of a finished result, by the method's own codes.</summary>
    /// <exception cref="InvalidInputException">The folder is no such result.</exception>
    public static double BitsOf(string folder) => (double?)QuantizedModel.ReadMetrics(folder)["bitsPerWeight"]
        ?? throw new InvalidInputException($"{folder}: metrics.json has no bitsPerWeight");

    /// <summary>Quantizes a model.</summary>
    /// <param name="model">Folder or GGUF file.</param>
    /// <param name="output">The folder to make.</param>
    /// <param name="force">Whether a folder that is there may be replaced; it is, at the very end.</param>
    /// <param name="progress">Told of every finished layer, in the model's order.</param>
    /// <param name="cancellation">Stops after the layer at hand.</param>
    /// <returns>Bits per weight by the method's own codes.</returns>
    /// <exception cref="InvalidInputException">The model or the output cannot be used; nothing is left behind.</exception>
    public double Run(string model, string output, bool force = false, IProgress<QuantizeProgress>? progress = null, CancellationToken cancellation = default)
    {
        WrittenFiles.CheckTarget(output, force, model);
        using var opened = QuantizableModel.Open(model);
        var digest = ModelDigest.Compute(opened.Source, cancellation);
        calibration.CheckTeacher(digest);
        using var work = WorkFolder.Open(output, $"{digest} {method.Name} {calibration.Digest}");
        return work.Finish(output, () =>
        {
            var layers = opened.Layers.Select((spec, index) => (Spec: spec, Path: work.LayerPath(index, spec))).ToList();
            var queue = new LayerQueue(opened, method, s_recipe, layers, progress);
            calibration.Run(opened.Config, opened.Layout, opened.Source.Tensors, queue, cancellation);
            var bits = queue.Reports.Sum(layer => layer.EffectiveBitsPerWeight * layer.Weights) / queue.Reports.Sum(layer => (double)layer.Weights);
            using var writer = ModelFolderWriter.Create(output, force, work.Assembly);
            new ArtifactWriter(opened.Source, opened.Layout, layers.ToDictionary(layer => layer.Spec.Weight, layer => layer.Path, StringComparer.Ordinal)).Write(writer, cancellation);
            opened.Source.CopySideFiles(writer);
            writer.WriteJson("config.json", opened.Layout.ConfigJson(opened.Config));
            writer.WriteJson("metrics.json", new JsonObject
            {
                ["method"] = method.Name,
                ["modelDigest"] = digest,
                ["bitsPerWeight"] = bits,
                ["calibration"] = JsonSerializer.SerializeToNode(new CalibrationRecord(calibration.Digest, calibration.Sequences, calibration.Tokens), LayerReport.Json),
                ["layers"] = JsonSerializer.SerializeToNode(queue.Reports, LayerReport.Json),
            });
            writer.Commit();
            return bits;
        });
    }
}
