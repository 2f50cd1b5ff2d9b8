using Qbb.Models.Decoder;

namespace Qbb.Evaluator.Accounting;

/// <summary>What one token of decoding costs by the sizes of a model alone.</summary>
/// <param name="Operations">Arithmetic of the blocks' linear layers and of the head.</param>
/// <param name="Bytes">Weights, scales, keys and values that must be read from memory, once for all sequences of a batch but for keys and values.</param>
public sealed record TokenCounts(OperationCounts Operations, long Bytes)
{
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
        bytes += 2L * 2 * config.BlockCount * config.KeyValueHeadCount * config.HeadDimension * context;
        return new(operations, bytes);
    }
}
