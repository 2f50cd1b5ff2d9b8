using System.Text.Json.Nodes;
using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Models.Tokenizers;

namespace Qbb.Workers.Models;

/// <summary>A model that is loaded, with what units want to know of it.</summary>
public sealed class WarmModel : IDisposable
{
    private readonly Lazy<string> _digest;
    private readonly Lazy<Tokenizer?> _tokenizer;

    internal WarmModel(string folder, Device device, ScalarType dtype)
    {
        Source = ModelSource.Open(folder);
        try
        {
            Transformer = Transformer.Load(Source, device, dtype, BasesLinearLoader.For(Source));
        }
        catch
        {
            Source.Dispose();
            throw;
        }
        _digest = new(() => ModelDigest.Compute(Source));
        _tokenizer = new(() => Source.TokenizerJsonPath is null && Source.GgufMetadata is null ? null : Source.LoadTokenizer());
    }

    public ModelSource Source { get; }

    public Transformer Transformer { get; }

    /// <summary>Its <see cref="ModelDigest"/>.</summary>
    public string Digest => _digest.Value;

    /// <summary>Null where the model has none.</summary>
    public Tokenizer? Tokenizer => _tokenizer.Value;

    public void Dispose()
    {
        Transformer.Dispose();
        Source.Dispose();
    }
}
