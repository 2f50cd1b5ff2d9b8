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
            var ((a, aRows), (b, bRows)) = (View(gate), View(up));
            DecoderKernels.ForEach("swiglu", a, units, aRows.Start, aRows.Row, bRows.Start, bRows.Row, y, (int)y.size(-1), units);
            GC.KeepAlive((a, b));
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
        var ((a, aRows), (b, bRows)) = (View(gate), View(up));
        DecoderKernels.ForEach("swiglu_backward", a, units,
            given.contiguous(), aRows.Start, aRows.Row, bRows.Start, bRows.Row, dGate, dUp, (int)gate.size(-1), units);
        GC.KeepAlive((a, b));
        return [dGate, dUp];
    }

    private static (Tensor Tensor, RowView Rows) View(Tensor x)
    {
        if (RowView.Of(x, 1) is { } rows)
            return (x, rows);
        var copy = x.contiguous().clone();
        return (copy, RowView.Of(copy, 1)!.Value);
    }
}
