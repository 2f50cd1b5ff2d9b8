namespace Qbb.Bases.Cuda;

/// <summary>What count.cu calculates from x before the product, as INPUT there.</summary>
internal enum CountInput
{
    /// <summary>Nothing.</summary>
    Plain = 0,

    /// <summary>The RMS norm.</summary>
    Normed = 1,

    /// <summary>The RMS norm with 1 + weight.</summary>
    NormedPlusOne = 2,

    /// <summary>silu(gate) ⊙ up, side by side in x.</summary>
    Gated = 3,
}
