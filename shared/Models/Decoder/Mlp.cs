using Qbb.Models.Decoder.Kernels;
using Qbb.Torch;

namespace Qbb.Models.Decoder;

/// <summary>The feed-forward part of a block, gated or plain.</summary>
internal sealed class Mlp(DecoderConfig config, Dictionary<LinearRole, ILinear> linears)
{
    /// <param name="x">[batch, count, hidden]</param>
    public Tensor forward(Tensor x)
    {
        using var scope = torch.NewDisposeScope();
        return linears[LinearRole.Down].forward(Inner(x)).MoveToOuterDisposeScope();
    }

    private Tensor Inner(Tensor x)
    {
        if (config.Mlp == MlpKind.Plain)
            return Activate(linears[LinearRole.Up].forward(x));
        if (!config.FusedGateUp)
            return Gated(linears[LinearRole.Gate].forward(x), linears[LinearRole.Up].forward(x));
        var fused = linears[LinearRole.GateUp].forward(x);
        return Gated(fused.narrow(-1, 0, config.IntermediateSize), fused.narrow(-1, config.IntermediateSize, config.IntermediateSize));
    }

    private Tensor Gated(Tensor gate, Tensor up) =>
        config.Activation == Activation.Silu && FusedGate.Serves(gate) ? FusedGate.Apply(gate, up) : Activate(gate) * up;

    private Tensor Activate(Tensor x) => config.Activation switch
    {
        Activation.Silu => torch.nn.functional.silu(x),
        Activation.Gelu => torch.nn.functional.gelu(x),
        Activation.GeluTanh => torch.nn.functional.gelu(x, "tanh"),
        Activation.QuickGelu => x * (x * 1.702).sigmoid(),
        Activation.Relu => torch.nn.functional.relu(x),
        Activation.ReluSquared => torch.nn.functional.relu(x).square(),
        _ => throw new InvalidOperationException($"activation {config.Activation}"),
    };
}
