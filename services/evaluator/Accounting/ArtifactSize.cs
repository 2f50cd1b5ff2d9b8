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
        var (bits, weights) = (0.0, 0L);
        OperationCounts operations = new(0, 0), dense = new(0, 0);
        foreach (var layer in DecoderLayout.Resolve(DecoderConfig.FromJson(source.ConfigJson), source.Tensors).Linears)
        {
            var stored = StoredLinear.Of(source, layer, bases);
            weights += layer.WeightCount;
            bits += stored.Bits;
            operations += stored.Operations;
            dense += OperationCounts.Dense(layer.OutFeatures, layer.InFeatures);
        }
        return new ArtifactSize(ModelSize.Of(source), bits / weights, operations, dense);
    }
}
