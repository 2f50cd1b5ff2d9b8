namespace Qbb.Models.Decoder;

/// <summary>One normalisation layer of a checkpoint.</summary>
/// <param name="Module">The stored name without ".weight".</param>
/// <param name="Kind">The formula.</param>
/// <param name="Size">Elements that are normalised together.</param>
public sealed record NormSpec(string Module, NormKind Kind, int Size)
{
    /// <summary>The stored name of the weight [size], or null.</summary>
    public string? Weight => Kind == NormKind.LayerNormPlain ? null : Module + ".weight";

    /// <summary>The stored name of the bias [size], or null.</summary>
    public string? Bias => Kind == NormKind.LayerNorm && HasBias ? Module + ".bias" : null;

    /// <summary>False where a checkpoint lacks the bias, which is then zero.</summary>
    public bool HasBias { get; init; } = true;
}
