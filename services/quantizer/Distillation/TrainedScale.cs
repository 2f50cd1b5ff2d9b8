namespace Qbb.Quantizer.Distillation;

/// <summary>A stored scale of one layer and what it is calculated from: Value = Start + Delta ⊙ Unit.</summary>
/// <param name="Name">The stored name: MODULE.alpha or MODULE.beta, on a grid MODULE.step or MODULE.minimum.</param>
/// <param name="Value">The layer's own tensor, α [N, out, groups] or β [out, groups]; on a grid the step or minimum [out, groups] that they follow from.</param>
/// <param name="Start">Its value before training.</param>
/// <param name="Unit">Mean of |α| over the bases of a group before training, of a step its size: of the shape of Value.</param>
/// <param name="Delta">What the optimizer works on; 0 at first.</param>
internal sealed record TrainedScale(string Name, Tensor Value, Tensor Start, Tensor Unit, Tensor Delta) : IDisposable
{
    public void Dispose()
    {
        Start.Dispose();
        Unit.Dispose();
        Delta.Dispose();
    }
}
