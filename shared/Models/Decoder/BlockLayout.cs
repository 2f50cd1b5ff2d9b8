namespace Qbb.Models.Decoder;

/// <summary>The modules of one transformer block.</summary>
/// <param name="Index">Which block, from 0.</param>
/// <param name="AttentionNorm">The norm of attention (before it, or after it in post-norm blocks).</param>
/// <param name="MlpNorm">The norm of the MLP; null where attention and MLP share one.</param>
/// <param name="QueryNorm">Norm of the queries of each head, or null.</param>
/// <param name="KeyNorm">Norm of the keys of each head, or null.</param>
/// <param name="Linears">The linear layers in order of use.</param>
public sealed record BlockLayout(
    int Index,
    NormSpec AttentionNorm,
    NormSpec? MlpNorm,
    NormSpec? QueryNorm,
    NormSpec? KeyNorm,
    IReadOnlyList<LinearSpec> Linears)
{
    /// <summary>The norm of what attention gives, where that has norms before and after it; else null.</summary>
    public NormSpec? AttentionOutputNorm { get; init; }

    /// <summary>The same of the MLP.</summary>
    public NormSpec? MlpOutputNorm { get; init; }

    /// <summary>The norms that the family has.</summary>
    public IEnumerable<NormSpec> Norms =>
        new[] { AttentionNorm, AttentionOutputNorm, MlpNorm, MlpOutputNorm, QueryNorm, KeyNorm }.OfType<NormSpec>();

    /// <summary>The layer of that role, or null where the family has none.</summary>
    public LinearSpec? Find(LinearRole role) => Linears.FirstOrDefault(linear => linear.Role == role);
}
