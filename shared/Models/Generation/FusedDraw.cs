using Qbb.Cuda;

namespace Qbb.Models.Generation;

/// <summary>draw.cu: one token for every row by temperature alone, in one launch; <see cref="BatchSampler"/> is its plain form.</summary>
internal static class FusedDraw
{
    internal const int Threads = 512;

    internal static readonly ElementKernels Kernels = new(typeof(FusedDraw).Assembly, "draw.cu");

    /// <summary>draw.cu keeps one sum for every 8 columns a thread takes, 256 of them.</summary>
    private const int MostColumns = Threads * 8 * 256;

    /// <summary>Whether it can draw so.</summary>
    public static bool Serves(Tensor logits, GenerationOptions options) =>
        options.TopK == 0 && options.TopP == 1 && options.MinP == 0 && ElementKernels.Serve(logits) && logits.size(1) <= MostColumns && logits.numel() > 0;

    /// <param name="logits">[rows, vocabulary]</param>
    /// <param name="uniforms">f64 [rows], on the logits' device.</param>
    /// <param name="temperature">0 takes the likeliest token.</param>
    /// <param name="unit">The whole number that the likeliest token's probability is.</param>
    /// <returns>i64 [rows]; -1 where logits are not numbers.</returns>
    public static Tensor Tokens(Tensor logits, Tensor uniforms, double temperature, double unit)
    {
        var tokens = torch.empty([logits.size(0)], ScalarType.Int64, logits.device);
        Kernels.For(logits)["draw"].Launch(
            (int)logits.size(0), Threads, 0, logits.contiguous(), uniforms, tokens, (int)logits.size(1), (float)temperature, (float)unit);
        return tokens;
    }
}
