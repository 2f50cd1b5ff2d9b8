using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;

namespace Qbb.Evaluator.Accounting;

/// <summary>How large a model is, and what its linear layers cost per token.</summary>
/// <param name="Bytes">All files of configuration and weights.</param>
/// <param name="EffectiveBitsPerWeight">Stored bits of the blocks' linear layers (planes, scales and bias; or the dense tensor) over their weights.</param>
/// <param name="Operations">Arithmetic of the blocks' linear layers for one token in the form they are stored.</param>
/// <param name="DenseOperations">The same for a dense fp16 model.</param>
public sealed record ArtifactSize(long Bytes, double EffectiveBitsPerWeight, OperationCounts Operations, OperationCounts DenseOperations)
{
    /// <param name="source">The model.</param>
    /// <param name="bases">Of a nested model: what its first planes with their own scales take, beside the bytes of all; null for all.</param>
    public static ArtifactSize Of(ModelSource source, int? bases = null)
    {
        var (bits, weights) = (0L, 0L);
        OperationCounts operations = new(0, 0), dense = new(0, 0);
        foreach (var layer in DecoderLayout.Resolve(DecoderConfig.FromJson(source.ConfigJson), source.Tensors).Linears)
        {
            weights += layer.WeightCount;
            dense += OperationCounts.Dense(layer.OutFeatures, layer.InFeatures);
            if (source.Tensors.Contains(layer.Weight))
            {
                bits += 8 * source.Tensors.Describe(layer.Weight).Bytes;
                operations += OperationCounts.Dense(layer.OutFeatures, layer.InFeatures);
                continue;
            }
            var alpha = source.Tensors.Describe(layer.Module + ".alpha").Shape;
            var hasBias = source.Tensors.Contains(layer.Module + ".beta");
            var planes = source.Tensors.Describe(layer.Module + ".planes");
            bits += bases is { } count
                ? 8 * planes.Bytes / planes.Shape[0] * count + 16 * layer.OutFeatures * alpha[2] * (count + (hasBias ? 1 : 0))
                : 8 * source.Tensors.Entries.Where(entry => IsPart(entry.Name, layer.Module)).Sum(entry => entry.Bytes);
            operations += OperationCounts.Bases(bases ?? alpha[0], layer.OutFeatures, layer.InFeatures, alpha[2], hasBias);
        }
        return new ArtifactSize(source.FileBytes, (double)bits / weights, operations, dense);
    }

    // The scales of a nested layer's smaller models are .alpha.n and .beta.n.
    private static bool IsPart(string name, string module) => name.StartsWith(module, StringComparison.Ordinal)
        && new[] { ".planes", ".alpha", ".beta" }.Any(suffix => name.AsSpan(module.Length).StartsWith(suffix, StringComparison.Ordinal));
}
