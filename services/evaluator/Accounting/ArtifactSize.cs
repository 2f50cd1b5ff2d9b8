using Qbb.Models;
using Qbb.Models.Checkpoints;
using Qbb.Models.Decoder;

namespace Qbb.Evaluator.Accounting;

/// <summary>How large a model is, and what its linear layers cost per token.</summary>
/// <param name="Bytes">All files of configuration and weights.</param>
/// <param name="EffectiveBitsPerWeight">Stored bits of the blocks' linear layers (planes, scales and bias; or the dense tensor) over their weights.</param>
/// <param name="Operations">Arithmetic of the blocks' linear layers for one token in the form they are stored.</param>
/// <param name="DenseOperations">The same for a dense fp16 model.</param>
public sealed record ArtifactSize(long Bytes, double EffectiveBitsPerWeight, OperationCounts Operations, OperationCounts DenseOperations)
{
    public static ArtifactSize Of(ModelSource source)
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
            bits += 8 * BasesBytes(source.Tensors, layer.Module);
            var alpha = source.Tensors.Describe(layer.Module + ".alpha").Shape;
            operations += OperationCounts.Bases(alpha[0], layer.OutFeatures, layer.InFeatures, alpha[2], source.Tensors.Contains(layer.Module + ".beta"));
        }
        return new ArtifactSize(source.Files.Sum(file => new FileInfo(file).Length), (double)bits / weights, operations, dense);
    }

    private static long BasesBytes(ITensorSource tensors, string module) => new[] { ".planes", ".alpha", ".beta" }
        .Where(suffix => tensors.Contains(module + suffix)).Sum(suffix => tensors.Describe(module + suffix).Bytes);
}
