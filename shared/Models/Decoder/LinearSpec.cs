namespace Qbb.Models.Decoder;

/// <summary>
/// One linear layer as the checkpoint stores it: fused layers stay fused, and a layer stored as [in, out] is presented as [out, in].
/// </summary>
/// <param name="Block">Index of the transformer block, or -1 for a layer outside the blocks.</param>
/// <param name="Module">The stored name without ".weight", such as model.layers.0.self_attn.q_proj.</param>
/// <param name="Role">What the layer does.</param>
/// <param name="OutFeatures">Rows of the weight as presented.</param>
/// <param name="InFeatures">Columns of the weight as presented.</param>
/// <param name="Transposed">The file holds [in, out] (GPT-2's Conv1D).</param>
/// <param name="Bias">The stored name of the bias [out], or null.</param>
/// <param name="Fusion">How the parts lie along the rows.</param>
/// <param name="Parts">The parts of a fused layer in order; empty when the layer is not fused.</param>
public sealed record LinearSpec(
    int Block,
    string Module,
    LinearRole Role,
    int OutFeatures,
    int InFeatures,
    bool Transposed,
    string? Bias,
    Fusion Fusion,
    IReadOnlyList<FusedPart> Parts)
{
    /// <summary>The stored name of the weight.</summary>
    public string Weight => Module + ".weight";

    /// <summary>Number of weights, the bias not counted.</summary>
    public long WeightCount => (long)OutFeatures * InFeatures;
}
