using Qbb.Cuda;

namespace Qbb.Models.Decoder.Kernels;

/// <summary>silu(gate) ⊙ up in one pass.</summary>
internal static class FusedGate
{
    /// <summary>Whether it can take the place of the plain form.</summary>
    public static bool Serves(Tensor gate) => ElementKernels.Serve(gate) && gate.size(-1) % RowView.Step == 0 && gate.numel() > 0;

    /// <param name="gate">[…, width]</param>
    /// <param name="up">As gate.</param>
    public static Tensor Apply(Tensor gate, Tensor up)
    {
        using var scope = torch.NewDisposeScope();
        Tensor y;
        var units = gate.numel() / RowView.Step;
        using (torch.no_grad())
        {
            y = torch.empty(gate.shape, gate.dtype, gate.device);
            var (a, b) = (View(gate), View(up));
            DecoderKernels.ForEach("swiglu", a.Tensor, units, a.Start, a.Row, b.Start, b.Row, y, (int)y.size(-1), units);
        }
        if (DecoderKernels.Record(gate, up))
        {
            var (g, u) = (Gradients.Save(gate), Gradients.Save(up));
            Gradients.Record([gate, up], [y], gradients => Backward(gradients[0]!, g, u), g, u);
        }
        return y.MoveToOuterDisposeScope();
    }

    private static Tensor[] Backward(Tensor given, Tensor gate, Tensor up)
    {
        using var off = torch.no_grad();
        var (dGate, dUp) = (torch.empty(gate.shape, gate.dtype, gate.device), torch.empty(gate.shape, gate.dtype, gate.device));
        var units = gate.numel() / RowView.Step;
        var (a, b) = (View(gate), View(up));
        DecoderKernels.ForEach("swiglu_backward", a.Tensor, units,
            given.contiguous(), a.Start, a.Row, b.Start, b.Row, dGate, dUp, (int)gate.size(-1), units);
        return [dGate, dUp];
    }

    private static RowView View(Tensor x) => RowView.Of(x, 1) ?? RowView.Of(x.contiguous().clone(), 1)!.Value;
}
