using Qbb.Checkpoints;
using Qbb.Models.Decoder;

namespace Qbb.Models;

/// <summary>The metadata and tensors that tell llama.cpp of a model's shape, rotary embedding and attention: what <see cref="GgufConfig"/> undoes.</summary>
/// <param name="Metadata">Keys with their values.</param>
/// <param name="Tensors">Rotary factors under GGUF's names.</param>
public sealed record GgufModelKeys(IReadOnlyList<KeyValuePair<string, object>> Metadata, IReadOnlyList<(string Name, float[] Values)> Tensors)
{
    /// <summary>Says of a model what llama.cpp's converter says.</summary>
    /// <param name="config">The model.</param>
    /// <param name="places">Of its tensors.</param>
    /// <exception cref="InvalidInputException">GGUF has no words for a part of the model.</exception>
    public static GgufModelKeys Of(DecoderConfig config, GgufPlaces places)
    {
        var (keys, tensors) = (new List<KeyValuePair<string, object>>(), new List<(string, float[])>());
        var architecture = places.Architecture;
        Add("context_length", (uint)config.MaxPositions);
        Add("embedding_length", (uint)config.HiddenSize);
        Add("block_count", (uint)config.BlockCount);
        Add("feed_forward_length", (uint)config.IntermediateSize);
        Add("attention.head_count", (uint)config.HeadCount);
        Add("attention.head_count_kv", (uint)config.KeyValueHeadCount);
        Add("attention.key_length", (uint)config.HeadDimension);
        Add("attention.value_length", (uint)config.HeadDimension);
        Add(places.EpsilonKey, (float)config.NormEpsilon);
        Add("vocab_size", (uint)config.VocabularySize);
        AddRope(config, Add, tensors);
        AddFamily(config, architecture, Add);
        return new(keys, tensors);

        void Add(string key, object value) => keys.Add(new($"{architecture}.{key}", value));
    }

    private static void AddRope(DecoderConfig config, Action<string, object> add, List<(string, float[])> tensors)
    {
        if (config.Rope is not { } rope)
            return;
        add("rope.freq_base", (float)rope.Theta);
        add("rope.dimension_count", (uint)rope.Dimensions);
        switch (rope.Kind)
        {
            case RopeKind.Default:
                break;
            case RopeKind.Linear:
                add("rope.scaling.type", "linear");
                add("rope.scaling.factor", (float)rope.Factor);
                break;
            case RopeKind.Yarn when rope.Truncate && rope.Mscale is null:
                add("rope.scaling.type", "yarn");
                add("rope.scaling.factor", (float)rope.Factor);
                add("rope.scaling.original_context_length", (uint)rope.OriginalMaxPositions);
                add("rope.scaling.yarn_beta_fast", (float)rope.BetaFast);
                add("rope.scaling.yarn_beta_slow", (float)rope.BetaSlow);
                // llama.cpp multiplies this factor with yarn's own.
                if (rope.AttentionFactor is { } attention)
                    add("rope.scaling.attn_factor", (float)(attention / (0.1 * Math.Log(rope.Factor) + 1)));
                break;
            case RopeKind.Llama3:
                add("rope.scaling.original_context_length", (uint)rope.OriginalMaxPositions);
                var frequencies = RopeFrequencies.Of(rope, 1).InverseFrequencies;
                tensors.Add(("rope_freqs.weight", [.. frequencies.Select((frequency, pair) => (float)(1 / (frequency * Math.Pow(rope.Theta, 2.0 * pair / rope.Dimensions))))]));
                break;
            case RopeKind.LongRope:
                add("rope.scaling.original_context_length", (uint)rope.OriginalMaxPositions);
                if (rope.AttentionFactor is { } factor)
                    add("rope.scaling.attn_factor", (float)factor);
                tensors.Add(("rope_factors_long.weight", [.. rope.LongFactor.Select(value => (float)value)]));
                tensors.Add(("rope_factors_short.weight", [.. rope.ShortFactor.Select(value => (float)value)]));
                break;
            default:
                throw Unknown($"rope scaling {rope.Kind.ToString().ToLowerInvariant()}");
        }
    }

    private static void AddFamily(DecoderConfig config, string architecture, Action<string, object> add)
    {
        var windows = config.Windows.Where(window => window is not null).Distinct().ToList();
        switch (architecture)
        {
            case "gemma2" or "gemma3":
                add("attention.sliding_window", (uint)(windows.FirstOrDefault() ?? 4096));
                add("attention.sliding_window_pattern", (uint)(config.Windows.TakeWhile(window => window is not null).Count() + 1));
                if (config.AttentionSoftCap is { } scores)
                    add("attn_logit_softcapping", (float)scores);
                if (config.LogitSoftCap is { } logits)
                    add("final_logit_softcapping", (float)logits);
                if (config.LocalRope is { } local)
                    add("rope.freq_base_swa", (float)local.Theta);
                return;
            case "granite":
                add("attention.scale", (float)config.AttentionScale);
                add("embedding_scale", (float)config.EmbeddingScale);
                add("residual_scale", (float)config.ResidualScale);
                add("logit_scale", (float)config.LogitDivisor);
                break;
            case "gptneox":
                add("use_parallel_residual", config.Order != BlockOrder.PreNorm);
                break;
            case "phi3":
                add("attention.sliding_window", (uint)(windows.FirstOrDefault() ?? 0));
                return;
        }
        if (windows.Count > 0)
            ModelWarnings.Report($"the model's sliding window of {windows[0]} is not written, as {architecture} has none in GGUF: beyond that many tokens the results differ");
    }

    private static InvalidInputException Unknown(string what) => new($"GGUF has no words for {what}", "use --format fp16");
}
