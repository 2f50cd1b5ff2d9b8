using System.Text.Json.Nodes;
using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Models.Tokenizers;

namespace Qbb.Cli.Loading;

/// <summary>A model that is ready to run, quantized or not, with its tokenizer.</summary>
internal sealed class LoadedModel : IDisposable
{
    private readonly Lazy<Tokenizer> _tokenizer;

    private LoadedModel(ModelSource source, Transformer model, Tokenizer? tokenizer)
    {
        Source = source;
        Model = model;
        _tokenizer = tokenizer is not null ? new(tokenizer) : new(() => ReadTokenizer(source, model.Config.VocabularySize));
    }

    public ModelSource Source { get; }
    public Transformer Model { get; }

    /// <exception cref="InvalidInputException">There is no tokenizer, or it cannot be read.</exception>
    public Tokenizer Tokenizer => _tokenizer.Value;

    /// <summary>As <see cref="Tokenizer"/>, but null where the model has none.</summary>
    public Tokenizer? TryTokenizer => Source.TokenizerJsonPath is null && Source.GgufMetadata is null ? null : Tokenizer;

    /// <param name="path">A Hugging Face folder or a GGUF file.</param>
    /// <param name="device">Where to.</param>
    /// <param name="dtype">Type of weights and activations.</param>
    /// <param name="products">How layers of binary bases calculate; null for the device's usual way.</param>
    /// <param name="bases">Of a nested model only the first planes; null for all.</param>
    /// <param name="needsTokenizer">Refuse a model without one before its weights are read.</param>
    /// <param name="check">Refuses what the model's shape does not allow, before its weights are read too.</param>
    /// <exception cref="InvalidInputException">The model cannot be read, or is not quantized by qbb where sums of integers are requested.</exception>
    public static LoadedModel Open(string path, Device device, ScalarType dtype = ScalarType.Float32, BasesProductOptions? products = null, int? bases = null,
        bool needsTokenizer = false, Action<DecoderConfig>? check = null)
    {
        var source = ModelSource.Open(path);
        try
        {
            var config = DecoderConfig.FromJson(source.ConfigJson);
            check?.Invoke(config);
            var tokenizer = needsTokenizer ? ReadTokenizer(source, config.VocabularySize) : null;
            var linears = BasesLinearLoader.For(source, options: products, bases: bases);
            if (products?.Integer is not null && linears is null)
                throw new InvalidInputException($"{path}: sums of integers are for models that qbb quantized to binary bases", "leave out --integer");
            return new LoadedModel(source, Transformer.Load(source, device, dtype, linears), tokenizer);
        }
        catch
        {
            source.Dispose();
            throw;
        }
    }

    /// <summary>Only a text with a token beyond the embedding cannot be run, so a tokenizer with more tokens is not an error by itself.</summary>
    public static Tokenizer ReadTokenizer(ModelSource source, int vocabulary)
    {
        var tokenizer = source.LoadTokenizer();
        if (tokenizer.VocabularySize > vocabulary)
            ModelWarnings.Report($"{source.Path}: the tokenizer has {tokenizer.VocabularySize} tokens but the model's vocabulary only {vocabulary}: "
                + "texts with the others are refused");
        return tokenizer;
    }

    public void Dispose()
    {
        Model.Dispose();
        Source.Dispose();
    }
}
