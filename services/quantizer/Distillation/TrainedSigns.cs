using Qbb.Bases;
using Qbb.Models.Decoder;

namespace Qbb.Quantizer.Distillation;

/// <summary>
/// The signs of a student's binary layers, assigned anew after every step: a latent weight per sign is trained by Adam with the gradient of
/// the dense weight (straight through the rounding to levels), and the signs are those of the level nearest to it. Memory: 12 bytes a weight.
/// </summary>
internal sealed class TrainedSigns : IDisposable
{
    /// <param name="student">Its scales record gradients already.</param>
    /// <param name="teacher">Of the same shape.</param>
    public TrainedSigns(Transformer student, Transformer teacher)
    {
        All = [.. from pair in student.Blocks.Zip(teacher.Blocks)
                  from spec in pair.First.Layout.Linears
                  let layer = pair.First.Linear(spec.Role) as BinaryLinear
                  where layer is not null
                  select new TrainedSign(BasesTensors.Planes(spec.Module), layer, pair.Second.Linear(spec.Role))];
    }

    public IReadOnlyList<TrainedSign> All { get; }

    /// <summary>The gradients of the dense weights that backward left; null for layers without. They are the caller's then.</summary>
    public Tensor?[] TakeGradients() => [.. All.Select(sign => sign.Layer.TakeDenseGradient())];

    /// <summary>Moves the layers that have a gradient.</summary>
    public void Step(double rate, IReadOnlyList<Tensor?> gradients)
    {
        using var off = torch.no_grad();
        for (var k = 0; k < All.Count; k++)
            if (gradients[k] is { } gradient)
                All[k].Step(rate, gradient);
    }

    /// <summary>Forgets gradients that were not used.</summary>
    public void DropGradients()
    {
        foreach (var sign in All)
            sign.Layer.DropDenseGradient();
    }

    /// <summary>The signs as they are now, i32 [N, out, words] each.</summary>
    public int[][] Planes() => [.. All.Select(sign => sign.Layer.Planes.ToArray<int>())];

    public void Dispose()
    {
        foreach (var sign in All)
            sign.Dispose();
    }
}

/// <summary>What Adam needs for one step of a layer's latent weights.</summary>
/// <param name="Rate">Learning rate, as a share of a group's mean scale.</param>
/// <param name="Decay1">β₁</param>
/// <param name="Decay2">β₂; shorter than the scales' memory, since a sign that flips changes what its neighbours should do.</param>
/// <param name="Correction1">1 − β₁ᵗ</param>
/// <param name="Correction2">1 − β₂ᵗ</param>
/// <param name="Epsilon">Keeps the quotient finite; far below any gradient of a mean loss.</param>
internal readonly record struct SignAdam(float Rate, float Decay1, float Decay2, float Correction1, float Correction2, float Epsilon)
{
    private const double Beta1 = 0.9, Beta2 = 0.99;

    /// <summary>Of step t, counted from 1.</summary>
    public static SignAdam At(long step, double rate) =>
        new((float)rate, (float)Beta1, (float)Beta2, (float)(1 - Math.Pow(Beta1, step)), (float)(1 - Math.Pow(Beta2, step)), 1e-12f);
}
