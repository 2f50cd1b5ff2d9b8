namespace Qbb.Recipes;

/// <summary>How much an error of one weight counts, from the layer's inputs x in calibration, H = E[xxᵀ].</summary>
public enum Importance
{
    /// <summary>Every error counts alike: ‖W − Ŵ‖².</summary>
    None,

    /// <summary>An error in column j counts H_jj.</summary>
    Diag,

    /// <summary>The error of the layer's outputs, tr((W − Ŵ) H (W − Ŵ)ᵀ), in the five steps of the output-aware method.</summary>
    Full,
}
