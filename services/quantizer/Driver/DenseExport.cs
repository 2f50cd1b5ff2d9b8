using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;

namespace Qbb.Quantizer.Driver;

/// <summary>Writes a model as plain weights under Hugging Face's names: what loads anywhere.</summary>
public static class DenseExport
{
    private const int ElementsAtOnce = 1 << 22;

    /// <summary>Expands quantized layers, widens or narrows all others, tensor by tensor.</summary>
    /// <param name="source">A model that qbb wrote, any Hugging Face folder, or a GGUF file.</param>
    /// <param name="folder">The folder to write; appears whole or not at all.</param>
    /// <param name="type">F16, BF16 or F32.</param>
    /// <param name="force">Replace the folder if it exists.</param>
    /// <param name="bases">Of a nested model only the first planes; null for all.</param>
    /// <param name="progress">Told before each tensor.</param>
    /// <param name="cancel">Stops between tensors.</param>
    /// <returns>Bytes of the files.</returns>
    /// <exception cref="InvalidInputException">The target exists or cannot be written, or a weight is too large for the type.</exception>
    public static long Write(ModelSource source, string folder, string type, bool force, int? bases = null,
        IProgress<(string Tensor, int Done, int Total)>? progress = null, CancellationToken cancel = default)
    {
        WrittenFiles.CheckTarget(folder, force, source.Path);
        var group = BasesLinearLoader.For(source, bases: bases)?.GroupSize;
        using var writer = ModelFolderWriter.Create(folder, force);
        var decoder = DecoderConfig.FromJson(source.ConfigJson);
        var layout = DecoderLayout.Resolve(decoder, source.Tensors);
        var layers = layout.Linears.Where(layer => BasesTensors.Contains(source.Tensors, layer.Module))
            .ToDictionary(layer => layer.Weight, StringComparer.Ordinal);
        var declarations = Declarations(source, layout, layers, type);
        var done = 0;
        writer.WriteTensors(declarations, (declaration, file) =>
        {
            cancel.ThrowIfCancellationRequested();
            progress?.Report((declaration.Name, done++, declarations.Count));
            if (layers.TryGetValue(declaration.Name, out var layer))
                file.Write(declaration.Name, Expand(source.Tensors, layer, group, bases));
            else
                Copy(source.Tensors, declaration.Name, file);
        });
        var config = layout.ConfigJson(decoder);
        config.Remove("dtype");
        config["torch_dtype"] = type switch { "F16" => "float16", "BF16" => "bfloat16", _ => "float32" };
        writer.WriteJson("config.json", config);
        source.CopySideFiles(writer);
        writer.Commit();
        return writer.Bytes;
    }

    private static List<TensorDeclaration> Declarations(ModelSource source, DecoderLayout layout, Dictionary<string, LinearSpec> layers, string type)
    {
        var byPlanes = layers.Values.ToDictionary(layer => BasesTensors.Planes(layer.Module), StringComparer.Ordinal);
        var needed = layout.TensorNames.ToHashSet(StringComparer.Ordinal);
        var declarations = new List<TensorDeclaration>();
        foreach (var entry in source.Tensors.Entries)
        {
            if (byPlanes.TryGetValue(entry.Name, out var layer))
                declarations.Add(new TensorDeclaration(layer.Weight, type, WeightLoader.StoredShape(layer)));
            else if (needed.Contains(entry.Name))
                declarations.Add(new TensorDeclaration(entry.Name, type, entry.Shape));
        }
        return declarations;
    }

    private static float[] Expand(ITensorSource tensors, LinearSpec layer, int? group, int? count)
    {
        var bases = BasesTensors.Read(tensors, layer.Module, layer.OutFeatures, layer.InFeatures, group, count);
        var weight = new float[layer.WeightCount];
        bases.Dequantize(0, layer.OutFeatures, weight);
        if (!layer.Transposed)
            return weight;
        var turned = new float[weight.Length];
        for (var row = 0; row < layer.OutFeatures; row++)
            for (var column = 0; column < layer.InFeatures; column++)
                turned[column * layer.OutFeatures + row] = weight[row * layer.InFeatures + column];
        return turned;
    }

    private static void Copy(ITensorSource tensors, string name, SafetensorsWriter file)
    {
        var count = tensors.Describe(name).Count;
        var buffer = new float[Math.Min(count, ElementsAtOnce)];
        for (long first = 0; first < count; first += buffer.Length)
        {
            var part = buffer.AsSpan(0, (int)Math.Min(buffer.Length, count - first));
            tensors.ReadFloat(name, first, part);
            WeightChecks.ThrowIfNotFinite(name, part);
            file.Write(name, part);
        }
    }
}
