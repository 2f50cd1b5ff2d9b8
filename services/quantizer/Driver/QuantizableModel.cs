using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;

namespace Qbb.Quantizer.Driver;

/// <summary>A model that was opened to be quantized and looked over: what is wrong with it is said before any work is done.</summary>
internal sealed class QuantizableModel : IDisposable
{
    private QuantizableModel(ModelSource source)
    {
        Source = source;
        Config = DecoderConfig.FromJson(source.ConfigJson);
        Layout = DecoderLayout.Resolve(Config, source.Tensors);
        Layers = [.. Layout.Linears];
        if (Layers.Any(layer => BasesTensors.Contains(source.Tensors, layer.Module)))
            throw new InvalidInputException($"{source.Path}: is quantized already; give the model that it was made from");
        foreach (var layer in Layers)
            CheckShape(source.Tensors, layer.Weight, WeightLoader.StoredShape(layer), layer.WeightCount);
        foreach (var weight in Layout.Embeddings)
            CheckShape(source.Tensors, weight, [Config.VocabularySize, Config.EmbeddingSize], 0);
        if (source.Format == ModelSource.Gguf)
            source.LoadTokenizer();
    }

    public ModelSource Source { get; }

    public DecoderConfig Config { get; }

    public DecoderLayout Layout { get; }

    /// <summary>The layers to quantize, in the model's order.</summary>
    public IReadOnlyList<LinearSpec> Layers { get; }

    /// <exception cref="InvalidInputException">The model cannot be used; the message says why.</exception>
    public static QuantizableModel Open(string model)
    {
        var source = ModelSource.Open(model);
        try
        {
            return new QuantizableModel(source);
        }
        catch
        {
            source.Dispose();
            throw;
        }
    }

    public void Dispose() => Source.Dispose();

    private static void CheckShape(ITensorSource tensors, string weight, long[] expected, long atOnce)
    {
        var shape = tensors.Describe(weight).Shape;
        if (!shape.SequenceEqual(expected))
            throw new InvalidInputException(
                $"tensor {weight} is [{string.Join(", ", shape)}] where config.json requires [{string.Join(", ", expected)}]");
        if (atOnce > Array.MaxLength)
            throw new InvalidInputException(
                $"tensor {weight} has {atOnce} weights; at most {Array.MaxLength} can be quantized at once");
    }
}
