using Qbb.Tests;

namespace Qbb.Checkpoints.Tests;

/// <summary>A whole llama model as a GGUF file of small random tensors, to be varied by tests.</summary>
internal static class GgufLlama
{
    public const int Hidden = 16, Heads = 4, KeyValueHeads = 2, HeadDim = 4, Inner = 24, Vocabulary = 10, Context = 64;

    public static GgufBuilder Metadata(string architecture = "llama") => new GgufBuilder()
        .Add("general.architecture", architecture)
        .Add($"{architecture}.context_length", (uint)Context)
        .Add($"{architecture}.embedding_length", (uint)Hidden)
        .Add($"{architecture}.block_count", 1u)
        .Add($"{architecture}.feed_forward_length", (uint)Inner)
        .Add($"{architecture}.attention.head_count", (uint)Heads)
        .Add($"{architecture}.attention.head_count_kv", (uint)KeyValueHeads)
        .Add($"{architecture}.attention.layer_norm_rms_epsilon", 1e-6f);

    public static GgufBuilder Model(string architecture = "llama", bool head = true, bool biases = false)
    {
        var builder = AddTensors(Metadata(architecture));
        if (head)
            builder.Tensor("output.weight", [Vocabulary, Hidden], Numbers(Vocabulary * Hidden));
        if (biases)
        {
            builder.Tensor("blk.0.attn_q.bias", [Heads * HeadDim], Numbers(Heads * HeadDim));
            builder.Tensor("blk.0.attn_k.bias", [KeyValueHeads * HeadDim], Numbers(KeyValueHeads * HeadDim));
            builder.Tensor("blk.0.attn_v.bias", [KeyValueHeads * HeadDim], Numbers(KeyValueHeads * HeadDim));
        }
        return builder;
    }

    public static GgufBuilder AddTensors(GgufBuilder builder)
    {
        builder.Tensor("token_embd.weight", [Vocabulary, Hidden], Numbers(Vocabulary * Hidden))
            .Tensor("output_norm.weight", [Hidden], Numbers(Hidden));
        var matrices = new[]
        {
            ("attn_q", Heads * HeadDim, Hidden), ("attn_k", KeyValueHeads * HeadDim, Hidden), ("attn_v", KeyValueHeads * HeadDim, Hidden),
            ("attn_output", Hidden, Heads * HeadDim), ("ffn_gate", Inner, Hidden), ("ffn_up", Inner, Hidden), ("ffn_down", Hidden, Inner),
        };
        foreach (var (name, rows, columns) in matrices)
            builder.Tensor($"blk.0.{name}.weight", [rows, columns], Numbers(rows * columns));
        return builder.Tensor("blk.0.attn_norm.weight", [Hidden], Numbers(Hidden))
            .Tensor("blk.0.ffn_norm.weight", [Hidden], Numbers(Hidden));
    }

    /// <summary>0, 1, 2, …: each element tells where it was.</summary>
    public static float[] Numbers(int count) => [.. Enumerable.Range(0, count).Select(i => (float)i)];
}
