using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;

namespace Qbb.Evaluator.Accounting;

/// <summary>How large a model is, and what its linear layers cost per token.</summary>
/// <param name="Model">Bytes and parameters of the whole model.</param>
/// <param name="EffectiveBitsPerWeight">Stored bits of the blocks' linear layers (planes, scales and bias; or the dense tensor) over their weights.</param>
/// <param name="Operations">Arithmetic of the blocks' linear layers for one token in the form they are stored.</param>
/// <param name="DenseOperations">The same for a dense fp16 model.</param>
public sealed record ArtifactSize(ModelSize Model, double EffectiveBitsPerWeight, OperationCounts Operations, OperationCounts DenseOperations)
{
    /// <summary>All files that running the model needs.</summary>
    public long Bytes => Model.Bytes;

    /// <summary>Bits of those files for each parameter.</summary>
    public double BitsPerParameter => Model.BitsPerParameter;

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
            var planes = source.Tensors.Describe(layer.Module + ".planes");
            var onGrid = source.Tensors.Contains(layer.Module + ".step");
            var groups = source.Tensors.Describe(layer.Module + (onGrid ? ".step" : ".alpha")).Shape[^1];
            var hasBias = onGrid || source.Tensors.Contains(layer.Module + ".beta");
            bits += bases is { } count
                ? 8 * planes.Bytes / planes.Shape[0] * count + 16 * layer.OutFeatures * groups * (count + (hasBias ? 1 : 0))
                : 8 * source.Tensors.Entries.Where(entry => IsPart(entry.Name, layer.Module)).Sum(entry => entry.Bytes);
            operations += OperationCounts.Bases(bases ?? planes.Shape[0], layer.OutFeatures, layer.InFeatures, groups, hasBias);
        }
        return new ArtifactSize(ModelSize.Of(source), (double)bits / weights, operations, dense);
    }

    // The scales of a nested layer's smaller models are .alpha.n and .beta.n.
    private static bool IsPart(string name, string module) => name.StartsWith(module, StringComparison.Ordinal)
        && new[] { ".planes", ".alpha", ".beta", ".step", ".lowest", ".minimum", ".zero", ".scale_exponent" }.Any(suffix => name.AsSpan(module.Length).StartsWith(suffix, StringComparison.Ordinal));
}
