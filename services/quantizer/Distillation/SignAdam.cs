namespace Qbb.Quantizer.Distillation;

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
