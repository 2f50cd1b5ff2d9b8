using System.Text.Json.Nodes;
using Qbb.Bases;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Models.Tokenizers;
using Qbb.Torch;

namespace Qbb.Standalone.Loading;

/// <summary>A model that is ready to run, quantized or not, with its tokenizer.</summary>
internal sealed class LoadedModel : IDisposable
{
    private readonly Lazy<Tokenizer> _tokenizer;

    private LoadedModel(ModelSource source, Transformer model)
    {
        Source = source;
        Model = model;
        _tokenizer = new(() => ReadTokenizer(source));
    }

    public ModelSource Source { get; }
    public Transformer Model { get; }

    /// <exception cref="InvalidInputException">There is no tokenizer, or it has more tokens than the model.</exception>
    public Tokenizer Tokenizer => _tokenizer.Value;

    /// <summary>As <see cref="Tokenizer"/>, but null where the model has none.</summary>
    public Tokenizer? TryTokenizer => Source.TokenizerJsonPath is null && Source.GgufMetadata is null ? null : Tokenizer;

    /// <param name="path">Folder or GGUF file.</param>
    /// <param name="device">Where to.</param>
    /// <param name="dtype">Type of weights and activations.</param>
    /// <param name="bases">Of a nested model only the first planes; null for all.</param>
    public static LoadedModel Open(string path, Device device, ScalarType dtype = ScalarType.Float32, int? bases = null)
    {
        var source = ModelSource.Open(path);
        try
        {
            return new LoadedModel(source, Transformer.Load(source, device, dtype, BasesLinearLoader.For(source, bases: bases)));
        }
        catch
        {
            source.Dispose();
            throw;
        }
    }

    private static Tokenizer ReadTokenizer(ModelSource source)
    {
        var tokenizer = source.LoadTokenizer();
        var vocabulary = DecoderConfig.FromJson(source.ConfigJson).VocabularySize;
        if (tokenizer.VocabularySize > vocabulary)
            throw new InvalidInputException($"{source.Path}: the tokenizer has {tokenizer.VocabularySize} tokens but the model's vocabulary only {vocabulary}: " +
                "they do not belong together; take the tokenizer.json that came with the model");
        return tokenizer;
    }

    public void Dispose()
    {
        Model.Dispose();
        Source.Dispose();
    }
}
