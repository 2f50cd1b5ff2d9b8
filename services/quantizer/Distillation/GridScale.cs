using Qbb.Bases;
using Qbb.Quantizer.Methods.Grids;

namespace Qbb.Quantizer.Distillation;

/// <summary>
/// The freedom that a target's grid leaves the scales of a layer: α_i = 2^(N − 2 − i)·step and β = minimum + (2^N − 1)/2·step, where the minimum
/// is free, a multiple of the step, or −zero·step with a zero point that stays.
/// </summary>
internal sealed class GridScale : IDisposable
{
    private readonly BinaryLinear _layer;
    /// <summary>∂α/∂step [N, 1, 1], and ∂β/∂step, of one number or [out, groups].</summary>
    private readonly Tensor _powers, _slope;

    public GridScale(BinaryLinear layer)
    {
        _layer = layer;
        using var off = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        var (bases, alpha, beta) = (layer.Bases, layer.Alpha.detach(), layer.Beta!.detach());
        var middle = ((1 << bases.Count) - 1) / 2f;
        _powers = torch.tensor(Enumerable.Range(0, bases.Count).Select(basis => MathF.ScaleB(1, bases.Count - 2 - basis)).ToArray(), bases.Count, 1, 1)
            .to(alpha.device).DetachFromDisposeScope();
        var slope = bases.Zeros is { } zeros ? torch.tensor(zeros, bases.OutFeatures, bases.Groups).to(ScalarType.Float32).neg().add(middle) : torch.full([1], (bases.Lowest ?? 0) + middle);
        _slope = slope.to(alpha.device).DetachFromDisposeScope();
        Step = alpha.select(0, bases.Count - 1).mul(2).DetachFromDisposeScope();
        Minimum = bases.Minima is null ? null : beta.sub(Step * _slope).DetachFromDisposeScope();
    }

    /// <summary>f32 [out, groups]</summary>
    public Tensor Step { get; }

    /// <summary>f32 [out, groups]; null where it follows from the step.</summary>
    public Tensor? Minimum { get; }

    /// <summary>The gradients of <see cref="Step"/> and <see cref="Minimum"/> from those that backward left at α and β; none where it left none.</summary>
    public IEnumerable<(Tensor Value, Tensor? Gradient)> Gradients()
    {
        var (ofAlpha, ofBeta) = (_layer.Alpha.grad, _layer.Beta!.grad);
        yield return (Step, ofAlpha is null || ofBeta is null ? null : ofAlpha.mul(_powers).sum([0L]).add_(ofBeta * _slope));
        if (Minimum is not null)
            yield return (Minimum, ofBeta);
    }

    /// <summary>Gives the layer the scales that follow.</summary>
    public void Apply()
    {
        using var scope = torch.NewDisposeScope();
        _layer.Alpha.copy_(Step * _powers);
        _layer.Beta!.copy_(Minimum is null ? Step * _slope : Minimum + Step * _slope);
    }

    /// <summary>Rounds step and minimum to the numbers of fp16 that can be stored (<see cref="LevelGrid.Round"/>).</summary>
    public void Round()
    {
        using var scope = torch.NewDisposeScope();
        var steps = Step.cpu().ToArray<float>();
        var minima = Minimum?.cpu().ToArray<float>();
        for (var place = 0; place < steps.Length; place++)
        {
            var rounded = minima is null ? new(LevelGrid.RoundStep(steps[place]), 0) : LevelGrid.RoundFree(new(steps[place], minima[place]));
            steps[place] = (float)rounded.Step;
            if (minima is not null)
                minima[place] = (float)rounded.Minimum;
        }
        Step.copy_(torch.tensor(steps, Step.shape));
        Minimum?.copy_(torch.tensor(minima!, Step.shape));
    }

    public void Dispose()
    {
        _powers.Dispose();
        _slope.Dispose();
        Step.Dispose();
        Minimum?.Dispose();
    }
}
