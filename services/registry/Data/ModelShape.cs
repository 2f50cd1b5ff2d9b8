using System.Text.Json.Nodes;
using Qbb.Recipes;

namespace Qbb.Registry.Data;

/// <summary>The sizes of a decoder that decide what work on it takes.</summary>
/// <param name="Blocks">Transformer blocks.</param>
/// <param name="Hidden">Features of a state.</param>
/// <param name="Inner">Features of the feed-forward part.</param>
/// <param name="QueryWidth">Features of all heads of a query.</param>
/// <param name="KeyValueWidth">Features of all heads of a key, or of a value.</param>
/// <param name="Vocabulary">Tokens.</param>
/// <param name="Positions">The longest sequence.</param>
internal sealed record ModelShape(int Blocks, int Hidden, int Inner, int QueryWidth, int KeyValueWidth, int Vocabulary, int Positions)
{
    private const int MostSize = 1 << 24;

    /// <summary>As a config.json has them; null where one is missing.</summary>
    public static ModelShape? Of(JsonObject? config)
    {
        if (config is null || Find("num_hidden_layers", "n_layer") is not { } blocks || Find("hidden_size", "n_embd") is not { } hidden
            || Find("num_attention_heads", "n_head") is not { } heads || Find("vocab_size") is not { } vocabulary)
        {
            return null;
        }
        var head = Find("head_dim") ?? Math.Max(1, hidden / heads);
        return new ModelShape(
            blocks, hidden, Find("intermediate_size", "n_inner", "ffn_dim") ?? 4 * hidden, heads * head, (Find("num_key_value_heads") ?? heads) * head, vocabulary,
            Find("max_position_embeddings", "n_positions") ?? 2048);

        int? Find(params string[] names) => names.Select(name => config[name] is JsonValue value && value.TryGetValue<int>(out var size) && size is > 0 and <= MostSize ? size : (int?)null)
            .FirstOrDefault(size => size is not null);
    }

    /// <summary>The usual sizes of a model of so many bytes, for one whose files do not say.</summary>
    public static ModelShape Guess(long bytes)
    {
        // 12 h² weights in a block, and blocks as h/64: as from GPT-2 to Llama.
        var hidden = 64 * Math.Clamp((int)Math.Cbrt(bytes / (12.0 * 64 * 64)), 1, 256);
        return new ModelShape(hidden / 64, hidden, 4 * hidden, hidden, hidden, 32_000, 2048);
    }

    /// <summary>What plans are made from.</summary>
    /// <param name="bytes">Of the files.</param>
    public ModelCounts Counts(long bytes) => new()
    {
        Linears =
        [
            .. Enumerable.Repeat(((int, int)[])[(QueryWidth, Hidden), (KeyValueWidth, Hidden), (KeyValueWidth, Hidden), (Hidden, QueryWidth), (Inner, Hidden), (Inner, Hidden), (Hidden, Inner)], Blocks)
                .SelectMany(block => block),
        ],
        OtherWeights = (long)Vocabulary * Hidden,
        Embeddings = [(Vocabulary, Hidden)],
        Vocabulary = Vocabulary,
        Hidden = Hidden,
        Blocks = Blocks,
        QueryWidth = QueryWidth,
        KeyValueWidth = KeyValueWidth,
        FileBytes = bytes,
    };
}
