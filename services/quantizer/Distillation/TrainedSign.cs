using System.Runtime.InteropServices;
using Qbb.Bases;
using Qbb.Cuda;
using Qbb.Models.Decoder;

namespace Qbb.Quantizer.Distillation;

/// <summary>
/// The signs of one layer and the latent weight that they follow. It starts where the signs say, drawn towards the teacher's weight as far as
/// that changes no sign: weights near the border of their level are those that give way first.
/// </summary>
internal sealed class TrainedSign : IDisposable
{
    /// <summary>Share of the way to the border of its level that a latent weight may start at.</summary>
    private const double Reach = 0.9;

    private const int Threads = 256;
    private static readonly ElementKernels s_kernels = new(typeof(TrainedSign).Assembly, "signs.cu");

    /// <param name="name">The stored name, MODULE.planes.</param>
    /// <param name="layer">Its gradients of the dense weight are kept from now on.</param>
    /// <param name="teacher">The same layer of the teacher.</param>
    public TrainedSign(string name, BinaryLinear layer, ILinear teacher)
    {
        (Name, Layer) = (name, layer);
        using var off = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        // Scales, levels and gradients are those before the factor.
        var weight = layer.ReferenceWeight(ScalarType.Float32).div_(layer.Factor);
        var target = teacher is DenseLinear dense ? dense.Matrix : ((BinaryLinear)teacher).Weight();
        var reach = Spread(HalfGap() * Reach);
        var distance = target.to(ScalarType.Float32).div(layer.Factor).sub(weight);
        Latent = weight.add(distance.minimum(reach).maximum(reach.neg())).DetachFromDisposeScope();
        Mean = torch.zeros_like(Latent).DetachFromDisposeScope();
        Square = torch.zeros_like(Latent).DetachFromDisposeScope();
        layer.KeepsDenseGradient = true;
    }

    public string Name { get; }

    public BinaryLinear Layer { get; }

    /// <summary>f32 [out, in]</summary>
    public Tensor Latent { get; }

    /// <summary>Adam's mean of the gradient, f32 [out, in].</summary>
    public Tensor Mean { get; }

    /// <summary>Adam's mean of its square, f32 [out, in].</summary>
    public Tensor Square { get; }

    /// <summary>Steps that this layer took.</summary>
    public long Steps { get; set; }

    /// <summary>Updates the latent weight by the gradient of the dense one, then the signs.</summary>
    public void Step(double rate, Tensor gradient)
    {
        Steps++;
        var adam = SignAdam.At(Steps, rate);
        if (ElementKernels.Serve(gradient))
            StepOnDevice(adam, gradient);
        else
            StepOnCpu(adam, gradient);
    }

    /// <summary>Goes back to a state that was saved.</summary>
    public void Restore(Tensor latent, Tensor mean, Tensor square, Tensor planes, long steps)
    {
        using var off = torch.no_grad();
        Latent.copy_(latent);
        Mean.copy_(mean);
        Square.copy_(square);
        Layer.Planes.copy_(planes);
        Layer.DropDenseGradient();
        Steps = steps;
    }

    public void Dispose()
    {
        Layer.KeepsDenseGradient = false;
        Latent.Dispose();
        Mean.Dispose();
        Square.Dispose();
    }

    private void StepOnDevice(SignAdam adam, Tensor gradient)
    {
        var (planes, alpha) = (Layer.Planes, Layer.Alpha);
        int words = (int)planes.size(2), groups = (int)alpha.size(2);
        const int perBlock = Threads / 32;
        s_kernels.For(gradient, $"-DBASES={planes.size(0)}")["step_signs"].Launch(
            checked((int)(((long)Layer.OutFeatures * words + perBlock - 1) / perBlock)), Threads, 0,
            Latent, Mean, Square, gradient, alpha, Layer.Beta, planes, Layer.OutFeatures, Layer.InFeatures, words, Layer.GroupSize, groups,
            adam.Rate, adam.Decay1, adam.Decay2, adam.Correction1, adam.Correction2, adam.Epsilon);
    }

    private void StepOnCpu(SignAdam adam, Tensor gradient)
    {
        using var scope = torch.NewDisposeScope();
        // Bases of row r lie out × groups apart; a row's own are gathered once.
        var alpha = Layer.Alpha.detach().permute(1, 0, 2).contiguous();
        var beta = Layer.Beta?.detach();
        var wide = gradient.to(ScalarType.Float32).contiguous();
        int columns = Layer.InFeatures, bases = (int)alpha.size(1), groups = (int)alpha.size(2), words = (int)Layer.Planes.size(2);
        Parallel.For(0, Layer.OutFeatures, () => new byte[columns], (row, _, codes) =>
        {
            ReferenceSignStep.Row(
                adam, Latent.AsSpan<float>().Slice(row * columns, columns), Mean.AsSpan<float>().Slice(row * columns, columns),
                Square.AsSpan<float>().Slice(row * columns, columns), wide.AsSpan<float>().Slice(row * columns, columns),
                alpha.AsSpan<float>().Slice(row * bases * groups, bases * groups),
                beta is null ? [] : beta.AsSpan<float>().Slice(row * groups, groups), Layer.GroupSize, codes);
            var planes = MemoryMarshal.Cast<int, uint>(Layer.Planes.AsSpan<int>());
            for (var basis = 0; basis < bases; basis++)
                SignPacking.PackBit(codes, basis, planes.Slice((basis * Layer.OutFeatures + row) * words, words));
            return codes;
        }, _ => { });
    }

    /// <summary>Half the smallest distance between two levels of a group, [out, groups].</summary>
    private Tensor HalfGap()
    {
        var (alpha, bases) = (Layer.Alpha.detach(), (int)Layer.Alpha.size(0));
        var levels = new Tensor[1 << bases];
        for (var code = 0; code < levels.Length; code++)
        {
            levels[code] = torch.zeros_like(alpha.select(0, 0));
            for (var basis = 0; basis < bases; basis++)
                levels[code].add_(alpha.select(0, basis) * ((code >> basis & 1) == 1 ? 1 : -1));
        }
        var (sorted, _) = torch.stack(levels).sort(0);
        return (sorted.narrow(0, 1, levels.Length - 1) - sorted.narrow(0, 0, levels.Length - 1)).amin([0]) * 0.5;
    }

    /// <summary>[out, groups] → [out, in]</summary>
    private Tensor Spread(Tensor groups) => groups.repeat_interleave(Layer.GroupSize, 1).narrow(1, 0, Layer.InFeatures);
}
