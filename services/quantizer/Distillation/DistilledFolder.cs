using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Quantizer.Driver;
using Qbb.Recipes;

namespace Qbb.Quantizer.Distillation;

/// <summary>
/// Writes the student again with other scales (and signs, where they were trained): all other tensors as they are; recipe, metrics and card with the distillation added.
/// </summary>
internal static class DistilledFolder
{
    private const int PieceBytes = 1 << 22;
    private static readonly JsonSerializerOptions s_camelCase = new(JsonSerializerDefaults.Web);

    /// <summary>Writes everything but the name; returns the size of the model.</summary>
    /// <param name="writer">The folder.</param>
    /// <param name="student">What was trained.</param>
    /// <param name="before">Its recipe.</param>
    /// <param name="after">The same with the distillation.</param>
    /// <param name="training">The new scales and how they came about.</param>
    /// <param name="facts">More members for the distillation's part of metrics.json.</param>
    /// <param name="cancellation">Stops between tensors.</param>
    public static ModelSize Write(
        ModelFolderWriter writer, ModelSource student, Recipe before, Recipe after, TrainingResult training, JsonObject facts,
        CancellationToken cancellation)
    {
        var tensors = student.StoredTensors;
        var declarations = tensors.Entries.Select(entry => new TensorDeclaration(entry.Name, entry.Type, entry.Shape)).ToList();
        writer.WriteTensors(declarations, (declaration, file) =>
        {
            cancellation.ThrowIfCancellationRequested();
            if (training.Scales.TryGetValue(declaration.Name, out var scales))
                file.WriteBytes(declaration.Name, MemoryMarshal.AsBytes<Half>(scales));
            else if (training.Planes.TryGetValue(declaration.Name, out var planes))
                file.WriteBytes(declaration.Name, MemoryMarshal.AsBytes<int>(planes));
            else
                Copy(tensors, declaration.Name, file);
        });
        student.CopySideFiles(writer);
        var config = student.ConfigJson.DeepClone().AsObject();
        config["quantization_config"]!["recipe_digest"] = after.Digest;
        writer.WriteJson("config.json", config);
        var size = ModelSize.Of(student) with { Bytes = writer.Bytes };
        writer.WriteText("recipe.json", after.ToCanonicalJson());
        writer.WriteJson("metrics.json", Metrics(student.Path, after, training, facts, size));
        writer.WriteText("README.md", Card(student.Path, before, after, training));
        RecipeExports.Write(after, writer.Folder, cancellation);
        return size;
    }

    private static void Copy(ITensorSource tensors, string name, SafetensorsWriter file)
    {
        var size = tensors.Describe(name).Bytes;
        var piece = new byte[Math.Min(size, PieceBytes)];
        for (long first = 0; first < size; first += piece.Length)
        {
            var part = piece.AsSpan(0, (int)Math.Min(piece.Length, size - first));
            tensors.ReadBytes(name, first, part);
            file.WriteBytes(name, part);
        }
    }

    private static JsonObject Metrics(string student, Recipe after, TrainingResult training, JsonObject facts, ModelSize size)
    {
        var metrics = QuantizedModel.ReadMetrics(student);
        metrics["recipeDigest"] = after.Digest;
        metrics["bytes"] = size.Bytes;
        metrics["bitsPerParameter"] = size.BitsPerParameter;
        var distillation = facts.DeepClone().AsObject();
        distillation["start"] = JsonSerializer.SerializeToNode(training.Start, s_camelCase);
        distillation["end"] = JsonSerializer.SerializeToNode(training.Best.HeldOut, s_camelCase);
        distillation["bestStep"] = training.Best.Step;
        distillation["rateLoweredAt"] = training.LoweredAt;
        distillation["curve"] = JsonSerializer.SerializeToNode(training.Curve, s_camelCase);
        metrics["distillation"] = distillation;
        return metrics;
    }

    private static string Card(string student, Recipe before, Recipe after, TrainingResult training)
    {
        var path = Path.Combine(student, "README.md");
        var text = File.Exists(path) ? File.ReadAllText(path).Replace(before.Digest, after.Digest, StringComparison.Ordinal) : "";
        var (recipe, start, best) = (after.Distillation!, training.Start, training.Best);
        return text + string.Create(CultureInfo.InvariantCulture, $"""

            ## Distillation

            {(recipe.SignRate is { } signs ? $"Scales and signs (rate {signs:g3})" : "The signs stayed; the scales")} were trained against the base model: loss {DistillationLossNames.Of(recipe.Loss)},
            {best.Step} of {recipe.Steps} steps of {recipe.Batch * (long)recipe.Accumulate} sequences, rate {recipe.LearningRate:g3}.
            On sequences that were held out, in nats per token:

            | | before | after |
            |---|---|---|
            | KL to the base model | {start.Kl:0.0000} | {best.HeldOut.Kl:0.0000} |
            | cross-entropy | {start.CrossEntropy:0.0000} | {best.HeldOut.CrossEntropy:0.0000} |

            Weight errors above and in `metrics.json` are those before the distillation, which trades them for nearer outputs.

            """);
    }
}
