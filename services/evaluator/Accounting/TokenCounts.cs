using Qbb.Checkpoints;
using Qbb.Models.Decoder;

namespace Qbb.Evaluator.Accounting;

/// <summary>What one token of decoding costs by shapes and stored forms alone.</summary>
/// <param name="Operations">Arithmetic of all linear layers, the head among them. Attention and norms are the same for every form and left out.</param>
/// <param name="WeightBytes">Weights and scales that are read for a token, once for all sequences of a batch. Of an embedding that is no head only a row.</param>
/// <param name="CacheBytes">Keys and values that a token adds to the cache, in 16 bits.</param>
/// <param name="Context">Tokens in the cache.</param>
/// <param name="ModelBytes">All weights.</param>
public sealed record TokenCounts(OperationCounts Operations, long WeightBytes, long CacheBytes, int Context, long ModelBytes)
{
    /// <summary>All that must be read for a token.</summary>
    public long Bytes => WeightBytes + CacheBytes * Context;

    /// <summary>What must be held to decode: weights, keys and values.</summary>
    public long MemoryBytes => ModelBytes + CacheBytes * Context;

    /// <summary>A model of random weights, whose embedding is its head.</summary>
    /// <param name="config">The decoder.</param>
    /// <param name="bases">N; null for dense fp16 or bf16.</param>
    /// <param name="group">Inputs that share a scale.</param>
    /// <param name="context">Tokens in the cache.</param>
    /// <param name="bias">Whether groups have a bias.</param>
    public static TokenCounts Of(DecoderConfig config, int? bases, int group, int context, bool bias = false)
    {
        var operations = OperationCounts.Dense(config.VocabularySize, config.EmbeddingSize);
        var bytes = 2L * config.VocabularySize * config.EmbeddingSize;
        foreach (var layer in DecoderLayout.Of(config).Linears)
        {
            if (bases is not { } count)
            {
                operations += OperationCounts.Dense(layer.OutFeatures, layer.InFeatures);
                bytes += 2 * layer.WeightCount;
                continue;
            }
            var groups = (layer.InFeatures - 1) / group + 1;
            operations += OperationCounts.Bases(count, layer.OutFeatures, layer.InFeatures, groups, bias);
            bytes += count * layer.WeightCount / 8 + 2L * layer.OutFeatures * groups * (count + (bias ? 1 : 0));
        }
        return new(operations, bytes, CacheOf(config), context, bytes);
    }

    /// <summary>A model as it is stored.</summary>
    /// <param name="source">The model.</param>
    /// <param name="context">Tokens in the cache.</param>
    /// <param name="formOf">The form that a layer of the blocks is counted in, instead of the file's; null for the file's.</param>
    public static TokenCounts Of(ModelSource source, int context, Func<LinearSpec, StoredLinear>? formOf = null)
    {
        var config = DecoderConfig.FromJson(source.ConfigJson);
        var layout = DecoderLayout.Resolve(config, source.Tensors);
        var embedding = new LinearSpec(-1, layout.Embedding[..^".weight".Length], LinearRole.Head, config.VocabularySize, config.EmbeddingSize, false, null, Fusion.None, []);
        var (operations, bits, counted) = (new OperationCounts(0, 0), 0.0, new HashSet<string>(StringComparer.Ordinal));
        foreach (var layer in layout.Head is null ? layout.AllLinears.Append(embedding) : layout.AllLinears)
        {
            var stored = layer.Block >= 0 && formOf is not null ? formOf(layer) : StoredLinear.Of(source, layer);
            operations += stored.Operations;
            bits += stored.Bits;
            counted.Add(layer.Weight);
        }
        var (read, all) = ((long)Math.Ceiling(bits / 8), (long)Math.Ceiling(bits / 8));
        foreach (var name in layout.TensorNames.Where(counted.Add))
        {
            var entry = source.Tensors.Describe(name);
            all += entry.Bytes;
            read += name == layout.Embedding || name == layout.Positions ? entry.Bytes / entry.Shape[0] : entry.Bytes;
        }
        return new(operations, read, CacheOf(config), context, all);
    }

    private static long CacheOf(DecoderConfig config) => 2L * 2 * config.BlockCount * config.KeyValueHeadCount * config.HeadDimension;
}
