using Qbb.Cuda;

namespace Qbb.Models.Decoder.Kernels;

/// <summary>
/// Attention of one new token per sequence over the cache, which is read once whatever the number of heads that share keys.
/// </summary>
internal static class OneQueryAttention
{
    private const int Warps = 4;
    private const int MostQueries = 8;

    /// <summary>
    /// With fewer blocks of threads than this the GPU is not full, and libtorch's kernel, which cuts the past in pieces, is better.
    /// </summary>
    private const int FewestBlocks = 256;

    internal static readonly ElementKernels Kernels = new(typeof(OneQueryAttention).Assembly, "attend_one.cu");

    /// <summary>Whether it can take the place of libtorch's attention.</summary>
    /// <param name="queries">[batch, count, heads, head]</param>
    /// <param name="groups">Heads of keys and values.</param>
    public static bool Serves(Tensor queries, long groups) =>
        queries.size(1) == 1 && queries.size(0) * groups >= FewestBlocks && queries.size(2) / groups <= MostQueries
        && queries.size(3) is 16 or 32 or 64 or 128 or 256 && ElementKernels.Serve(queries) && !torch.is_grad_enabled();

    /// <param name="queries">[batch, 1, heads, head], contiguous.</param>
    /// <param name="keys">The whole cache, [batch, groups, capacity, head].</param>
    /// <param name="values">As keys.</param>
    /// <param name="first">First place of the cache that the token sees.</param>
    /// <param name="seen">Places up to the new token's own, it included.</param>
    /// <param name="scale">Multiplies the scores.</param>
    /// <returns>[batch, 1, heads · head]</returns>
    public static Tensor Attend(Tensor queries, Tensor keys, Tensor values, int first, int seen, double scale)
    {
        var (batch, heads, head, groups) = (queries.size(0), queries.size(2), queries.size(3), keys.size(1));
        var y = torch.empty([batch, 1, heads * head], queries.dtype, queries.device);
        Kernels.For(queries, $"-DHEAD={head} -DQUERIES={heads / groups} -DWARPS={Warps}")["attend_one"].Launch(
            (int)(batch * groups), 32 * Warps, 0,
            queries, keys, values, y, (int)keys.size(2), first, seen, (float)(scale * Math.Log2(Math.E)));
        return y;
    }
}
