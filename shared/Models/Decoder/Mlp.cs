using Qbb.Models.Decoder.Kernels;

namespace Qbb.Models.Decoder;

/// <summary>The feed-forward part of a block, gated or plain.</summary>
internal sealed class Mlp(DecoderConfig config, Dictionary<LinearRole, ILinear> linears) : IDisposable
{
    private readonly StackedLinears? _stacked = StackedLinears.Of(linears, LinearRole.Gate, LinearRole.Up);

    /// <param name="x">[batch, count, hidden]</param>
    public Tensor forward(Tensor x)
    {
        using var scope = torch.NewDisposeScope();
        return linears[LinearRole.Down].forward(Inner(x)).MoveToOuterDisposeScope();
    }

    public void Dispose() => _stacked?.Dispose();

    private Tensor Inner(Tensor x)
    {
        if (config.Mlp == MlpKind.Plain)
            return Activate(linears[LinearRole.Up].forward(x));
        if (_stacked?.TryForward(x, linears) is [var gate, var up])
            return Gated(gate, up);
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
        Activation.GeluTanh => torch.nn.functional.gelu(x, TorchSharp.Modules.GELU.Approximate.tanh),
        Activation.QuickGelu => x * (x * 1.702).sigmoid(),
        Activation.Relu => torch.nn.functional.relu(x),
        Activation.ReluSquared => torch.nn.functional.relu(x).square(),
        _ => throw new InvalidOperationException($"activation {config.Activation}"),
    };
}
