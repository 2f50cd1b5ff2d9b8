namespace Qbb.Models.Decoder;

/// <summary>
/// Causal attention softmax(q kᵀ) v with grouped heads. On the CPU a chunk of queries at a time, over only those keys that it can see, so
/// that no score matrix of all tokens by all tokens exists and half of the products are never made; keys and values are not repeated.
/// On CUDA libtorch's fused kernel, which caps no scores.
/// </summary>
internal static class ScaledAttention
{
    /// <summary>Queries whose scores are in memory at once.</summary>
    private const long Chunk = 256;

    /// <param name="queries">[batch, heads, count, head]</param>
    /// <param name="keys">[batch, key/value heads, past + count, head]</param>
    /// <param name="values">As keys.</param>
    /// <param name="scale">Multiplies the scores.</param>
    /// <param name="window">0 for all of the past.</param>
    /// <param name="softCap">Scores s become cap · tanh(s / cap) before the softmax; null to leave them.</param>
    /// <param name="context">Where the tokens stand.</param>
    /// <returns>[batch, count, heads · head]</returns>
    public static Tensor Attend(Tensor queries, Tensor keys, Tensor values, double scale, int window, double? softCap, ForwardContext context)
    {
        using var scope = torch.NewDisposeScope();
        var (batch, heads, count, head) = (queries.size(0), queries.size(1), queries.size(2), queries.size(3));
        Tensor[] chunks;
        if (softCap is null && queries.device_type == DeviceType.CUDA)
        {
            chunks = [Fused(queries, keys, values, scale, window, context)];
        }
        else if (softCap is null && count == 1 && !context.IsPadded && queries.dtype is ScalarType.BFloat16 or ScalarType.Float16)
        {
            chunks = [AttendLast(queries, keys, values, scale, window)];
        }
        else
        {
            queries = queries * scale;
            chunks = new Tensor[(count + Chunk - 1) / Chunk];
            for (var i = 0; i < chunks.Length; i++)
                chunks[i] = AttendChunk(queries, keys, values, window, softCap, context, i * Chunk, Math.Min(Chunk, count - i * Chunk));
        }
        var joined = chunks.Length == 1 ? chunks[0].transpose(1, 2) : torch.cat([.. chunks.Select(chunk => chunk.transpose(1, 2))], 1);
        return joined.reshape(batch, count, heads * head).MoveToOuterDisposeScope();
    }

    /// <summary>
    /// One query a sequence in half precision on the CPU, where libtorch multiplies many small matrices of that type one number at a time: its
    /// fused kernel instead, to which the heads that share keys are so many queries. Returns [batch, heads, 1, head].
    /// </summary>
    private static Tensor AttendLast(Tensor queries, Tensor keys, Tensor values, double scale, int window)
    {
        var (batch, heads, head, groups, all) = (queries.size(0), queries.size(1), queries.size(3), keys.size(1), keys.size(2));
        var seen = window > 0 ? Math.Min(all, window) : all;
        return torch.nn.functional.scaled_dot_product_attention(
            queries.reshape(batch, groups, heads / groups, head), keys.narrow(2, all - seen, seen), values.narrow(2, all - seen, seen), null, false, scale, false)
            .reshape(batch, heads, 1, head);
    }

    /// <summary>Scaled queries [first, first + count) of this pass; returns [batch, heads, count, head].</summary>
    private static Tensor AttendChunk(Tensor queries, Tensor keys, Tensor values, int window, double? softCap, ForwardContext context, long first, long count)
    {
        using var scope = torch.NewDisposeScope();
        var (batch, heads, head, groups) = (queries.size(0), queries.size(1), queries.size(3), keys.size(1));
        var query = context.Past + first;
        var key = window > 0 ? Math.Max(0, query - window + 1) : 0;
        var seen = query + count - key;
        // Heads that share keys stand below one another, so that one product serves the group.
        var grouped = queries.narrow(2, first, count).reshape(batch, groups, heads / groups * count, head);
        var scores = grouped.matmul(keys.narrow(2, key, seen).transpose(2, 3));
        if (softCap is { } cap)
            scores = scores.div(cap).tanh().mul(cap);
        Hide(scores.view(batch, groups, heads / groups, count, seen), window, query, count, key, seen, context);
        var weights = torch.nn.functional.softmax(scores, -1, Precision.OfStatistics(scores.dtype));
        if (weights.dtype != scores.dtype)
            weights = weights.to(scores.dtype);
        return weights.matmul(values.narrow(2, key, seen)).view(batch, heads, count, head).MoveToOuterDisposeScope();
    }

    /// <summary>Adds the mask to scores [batch, groups, heads per group, count, seen].</summary>
    private static void Hide(Tensor scores, int window, long query, long count, long key, long seen, ForwardContext context)
    {
        if (context.IsPadded)
            scores.add_(context.Mask(window, query, count, key, seen).view(context.Batch, 1, 1, count, seen));
        else if (window > 0 && count > 1)
            scores.add_(context.Mask(window, query, count, key, seen));
        else if (count > 1)
            scores.narrow(4, seen - count, count).add_(context.Mask(0, query, count, query, count));
    }

    private static Tensor Fused(Tensor queries, Tensor keys, Tensor values, double scale, int window, ForwardContext context)
    {
        var (batch, heads, count, head) = (queries.size(0), queries.size(1), queries.size(2), queries.size(3));
        var (groups, all) = (keys.size(1), keys.size(2));
        Tensor? mask = null;
        var plain = !context.IsPadded && window == 0;
        if (context.IsPadded)
            mask = context.Mask(window, context.Past, count, 0, all).view(batch, 1, count, all).expand(batch, heads, count, all);
        else if (count > 1 && (window > 0 || context.Past > 0))
            mask = context.Mask(window, context.Past, count, 0, all).expand(batch, heads, count, all);
        else if (window > 0)
            (keys, values) = (keys.narrow(2, Math.Max(0, all - window), Math.Min(all, window)), values.narrow(2, Math.Max(0, all - window), Math.Min(all, window)));
        // Only the kernel for half precision without a mask shares keys; elsewhere the option would mean the slow formula.
        var shares = groups != heads && mask is null && queries.dtype is ScalarType.BFloat16 or ScalarType.Float16;
        var isCausal = plain && count > 1 && context.Past == 0;
        return torch.nn.functional.scaled_dot_product_attention(
            queries, Repeat(keys), Repeat(values), mask, isCausal, scale, shares);

        Tensor Repeat(Tensor x) => groups == heads || shares
            ? x
            : x.unsqueeze(2).expand(batch, groups, heads / groups, x.size(2), head).reshape(batch, heads, x.size(2), head);
    }
}
