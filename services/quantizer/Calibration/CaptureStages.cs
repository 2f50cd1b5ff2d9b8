using Qbb.Models.Decoder;

namespace Qbb.Quantizer.Calibration;

/// <summary>
/// The order in which a block's linear layers are quantized, each on the outputs of the quantized layers before it: q, k, v → o → gate, up
/// →
/// down. Where attention and MLP run side by side, gate and up do not wait for o.
/// </summary>
internal static class CaptureStages
{
    private static readonly LinearRole[] AttentionInput = [LinearRole.Query, LinearRole.Key, LinearRole.Value, LinearRole.QueryKeyValue];
    private static readonly LinearRole[] AttentionOutput = [LinearRole.AttentionOutput];
    private static readonly LinearRole[] MlpInput = [LinearRole.Gate, LinearRole.Up, LinearRole.GateUp];
    private static readonly LinearRole[] MlpOutput = [LinearRole.Down];

    /// <summary>Stages in order; of each, the groups of layers that read one and the same input.</summary>
    public static IReadOnlyList<IReadOnlyList<LinearSpec>[]> Of(BlockOrder order, BlockLayout block)
    {
        LinearRole[][][] stages = order switch
        {
            BlockOrder.ParallelOneNorm => [[[.. AttentionInput, .. MlpInput]], [AttentionOutput, MlpOutput]],
            BlockOrder.ParallelTwoNorms => [[AttentionInput, MlpInput], [AttentionOutput, MlpOutput]],
            _ => [[AttentionInput], [AttentionOutput], [MlpInput], [MlpOutput]],
        };
        return [.. stages.Select(stage => stage.Select(roles => Layers(block, roles)).ToArray())];
    }

    private static IReadOnlyList<LinearSpec> Layers(BlockLayout block, LinearRole[] roles) =>
        [.. block.Linears.Where(linear => roles.Contains(linear.Role))];
}
