using Microsoft.Extensions.Options;
using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Models.Tokenizers;

namespace Qbb.Workers.Models;

/// <summary>Models, loaded: a stage's units follow one another and need the same. A unit's models stay at least until its end.</summary>
public sealed class WarmModels(ModelFolders folders, WarmMemory memory, IOptions<WorkerOptions> options)
{
    // A unit uses two models at most, teacher and student.
    private const int OtherOfUnit = 1;

    /// <summary>Loads a model, or finds it loaded.</summary>
    /// <param name="manifest">Of its folder.</param>
    /// <param name="dtype">Type to calculate in.</param>
    /// <param name="cancellation">Stops before loading.</param>
    public async Task<WarmModel> LoadAsync(Digest manifest, ScalarType dtype = ScalarType.Float32, CancellationToken cancellation = default)
    {
        var key = (nameof(WarmModels), manifest, dtype);
        var folder = await folders.OpenAsync(manifest, cancellation);
        var model = memory.Take<WarmModel>(key) ?? Load(manifest, folder, dtype);
        memory.Keep(key, model, model.Bytes);
        return model;
    }

    private WarmModel Load(Digest manifest, string folder, ScalarType dtype)
    {
        var source = ModelSource.Open(folder);
        try
        {
            var bytes = WarmModel.BytesOf(source, dtype);
            memory.MakeRoom(bytes, OtherOfUnit);
            return new WarmModel(source, folders.DigestOf(manifest, source), options.Value.ReadDevice(), dtype);
        }
        catch
        {
            source.Dispose();
            throw;
        }
    }
}

/// <summary>A model that is loaded, with what units want to know of it.</summary>
public sealed class WarmModel : IDisposable
{
    private readonly Lazy<Tokenizer?> _tokenizer;

    /// <param name="source">Taken over.</param>
    /// <param name="digest">Its <see cref="ModelDigest"/>.</param>
    /// <param name="device">Where to.</param>
    /// <param name="dtype">Type to calculate in.</param>
    internal WarmModel(ModelSource source, string digest, Device device, ScalarType dtype)
    {
        (Source, Digest, Bytes) = (source, digest, BytesOf(source, dtype));
        Transformer = Transformer.Load(source, device, dtype, BasesLinearLoader.For(source));
        _tokenizer = new(() => Source.TokenizerJsonPath is null && Source.GgufMetadata is null ? null : Source.LoadTokenizer());
    }

    public ModelSource Source { get; }

    public Transformer Transformer { get; }

    /// <summary>Its <see cref="ModelDigest"/>.</summary>
    public string Digest { get; }

    /// <summary>About what it takes.</summary>
    public long Bytes { get; }

    /// <summary>Null where the model has none.</summary>
    public Tokenizer? Tokenizer => _tokenizer.Value;

    public void Dispose()
    {
        Transformer.Dispose();
        Source.Dispose();
    }

    internal static long BytesOf(ModelSource source, ScalarType dtype) => source.Tensors.Entries.Sum(entry => entry.Count) * dtype.ElementSize();
}
