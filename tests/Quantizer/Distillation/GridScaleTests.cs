using Qbb.Bases;
using Qbb.Models.Generation;
using Qbb.Quantizer.Distillation;
using Qbb.Recipes;

namespace Qbb.Quantizer.Tests.Distillation;

/// <summary>What a grid leaves free of a layer's scales: gradients against autograd, and what is stored after rounding.</summary>
public sealed class GridScaleTests
{
    private const int Rows = 6, Columns = 96, Group = 32;

    [Theory]
    [InlineData("gguf-q4_1"), InlineData("gguf-q5_1"), InlineData("gguf-q4_0"), InlineData("gguf-q8_0"), InlineData("gguf-q2_0"), InlineData("gptq"), InlineData("hqq")]
    public void Gradients_and_stored_numbers_are_those_of_the_grid(string name)
    {
        var target = Target.Parse(name);
        using var layer = Make(target, 7);
        using var grid = new GridScale(layer);
        torch.manual_seed(3);
        var (weights, shifts) = (torch.randn(layer.Alpha.shape), torch.randn(layer.Beta!.shape));
        layer.Alpha.grad = weights;
        layer.Beta!.grad = shifts;
        var found = grid.Gradients().ToDictionary(pair => ReferenceEquals(pair.Value, grid.Step) ? "step" : "minimum", pair => pair.Gradient!);

        // The same by autograd.
        var (step, minimum) = (grid.Step.detach().clone().requires_grad_(), grid.Minimum?.detach().clone().requires_grad_());
        var (count, middle) = (layer.Bases.Count, ((1 << layer.Bases.Count) - 1) / 2f);
        var alpha = torch.stack([.. Enumerable.Range(0, count).Select(basis => step * MathF.ScaleB(1, count - 2 - basis))]);
        var lowest = minimum ?? (layer.Bases.Zeros is { } zeros ? -torch.tensor(zeros, Rows, Columns / Group).to(ScalarType.Float32) * step : step * layer.Bases.Lowest!.Value);
        var beta = lowest + step * middle;
        ((alpha * weights).sum() + (beta * shifts).sum()).backward();
        torch.allclose(found["step"], step.grad!, 1e-5, 1e-5).ShouldBeTrue();
        found.ContainsKey("minimum").ShouldBe(target.Minimum.IsFree && target.Widths is null);
        if (minimum is not null)
            torch.allclose(found["minimum"], minimum.grad!, 1e-5, 1e-5).ShouldBeTrue();

        // Moved off the numbers of fp16, and rounded again.
        using var off = torch.no_grad();
        torch.allclose(layer.Alpha, alpha).ShouldBeTrue();
        grid.Step.mul_(1.0371);
        grid.Minimum?.mul_(0.9713);
        grid.Round();
        grid.Apply();
        var halves = (Tensor tensor) => tensor.to(ScalarType.Float16).ToArray<Half>();
        var stored = BinaryBases.OnGrid(count, Rows, Columns, Group, layer.Bases.Planes, halves(grid.Step), layer.Bases.Lowest, grid.Minimum is null ? null : halves(grid.Minimum), layer.Bases.Zeros);
        using var read = new BinaryLinear(stored, null, torch.CPU, ScalarType.Float32);
        read.Alpha.ToArray<float>().ShouldBe(layer.Alpha.ToArray<float>());
        read.Beta!.ToArray<float>().ShouldBe(layer.Beta!.ToArray<float>());
        var before = grid.Step.ToArray<float>();
        grid.Round();
        grid.Step.ToArray<float>().ShouldBe(before);
    }

    private static BinaryLinear Make(Target target, ulong seed)
    {
        var random = new SplitMix64(seed);
        double Next() => random.Next() % 10_000 / 10_000.0;
        var (groups, count) = (Rows * (Columns / Group), target.Bases);
        Half[] Some(Func<double> draw) => [.. Enumerable.Range(0, groups).Select(_ => (Half)draw())];
        var planes = Enumerable.Range(0, count * Rows * (Columns / 32)).Select(_ => (uint)random.Next()).ToArray();
        var steps = Some(() => 2 * (double)(Half)((0.01 + Next() / 10) * (target.Minimum.InSteps is not null && Next() < 0.3 ? -1 : 1)));
        var zeros = target.Minimum.Zeros is null ? null : Some(() => target.Minimum.Zeros.Parts == 1 ? Math.Round(1 + Next() * 13) : Math.Round(Next() * 300) / 64);
        var minima = target.Minimum.IsFree && zeros is null ? Some(() => Math.Round(-Next() * 512) / 1024) : null;
        return new(BinaryBases.OnGrid(count, Rows, Columns, Group, planes, steps, target.Minimum.InSteps, minima, zeros), null, torch.CPU, ScalarType.Float32);
    }
}
