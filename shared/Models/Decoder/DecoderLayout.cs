using System.Text.Json.Nodes;
using Qbb.Checkpoints;

namespace Qbb.Models.Decoder;

/// <summary>Where everything of a decoder lies in its checkpoint: a pure function of the configuration and of the names' prefix.</summary>
/// <param name="Embedding">Stored name of the token embedding [vocabulary, embedding].</param>
/// <param name="Positions">Stored name of the learned positions [max positions + offset, hidden], or null.</param>
/// <param name="ProjectIn">OPT-350m's layer between embedding and blocks, or null.</param>
/// <param name="Blocks">The transformer blocks.</param>
/// <param name="FinalNorm">The norm before the head, or null.</param>
/// <param name="ProjectOut">OPT-350m's layer between blocks and head, or null.</param>
/// <param name="Head">The head, or null when it is the token embedding.</param>
public sealed record DecoderLayout(
    string Embedding,
    string? Positions,
    LinearSpec? ProjectIn,
    IReadOnlyList<BlockLayout> Blocks,
    NormSpec? FinalNorm,
    LinearSpec? ProjectOut,
    LinearSpec? Head)
{
    /// <summary>The linear layers of all blocks in order of use: what a quantizer walks. The head and OPT-350m's projections are not among them.</summary>
    public IEnumerable<LinearSpec> Linears => Blocks.SelectMany(block => block.Linears);

    /// <summary>The same, and those outside the blocks: projections and a head of its own.</summary>
    public IEnumerable<LinearSpec> AllLinears => Linears.Concat(new[] { ProjectIn, ProjectOut, Head }.OfType<LinearSpec>());

    /// <summary>The stored names of the embedding and of a head of its own.</summary>
    public IEnumerable<string> Embeddings => new[] { Embedding, Head?.Weight }.OfType<string>();

    /// <summary>The layout under the names that transformers writes.</summary>
    public static DecoderLayout Of(DecoderConfig config)
    {
        var names = DecoderNames.Of(config.ModelType);
        return Of(config, names.Prefixes[0], names.Heads[0]);
    }

    /// <summary>The stored names of all that the decoder reads. Other tensors of a checkpoint (buffers, other heads) are no part of it.</summary>
    public IEnumerable<string> TensorNames =>
        new[] { Embedding, Positions }
            .Concat(Blocks.SelectMany(block => block.Norms).Append(FinalNorm).SelectMany(norm => new[] { norm?.Weight, norm?.Bias }))
            .Concat(Blocks.SelectMany(block => block.Linears).Concat([ProjectIn, ProjectOut, Head]).SelectMany(linear => new[] { linear?.Weight, linear?.Bias }))
            .OfType<string>();

    /// <summary>
    /// The layout of a checkpoint: names as it has them (OPT with and without "model.decoder.", GPT-2 with and without "transformer.", …), a
    /// head of its own where that differs from the embedding, and the biases that it holds.
    /// </summary>
    /// <exception cref="InvalidInputException">A tensor is missing, or the weights are stored in a way that only their maker can read.</exception>
    public static DecoderLayout Resolve(DecoderConfig config, ITensorSource source) => StoredLayout.Resolve(config, source);

    /// <summary>config.json as it fits the tensors of this layout, for a folder that is written anew: without a method of quantization.</summary>
    public JsonObject ConfigJson(DecoderConfig config)
    {
        var json = config.Json.DeepClone().AsObject();
        json.Remove("quantization_config");
        if (config.TiedEmbeddings != Head is null)
            json["tie_word_embeddings"] = Head is null;
        if (config.ModelType == "llama" && config.QkvBias)
            json["attention_bias"] = true;
        return json;
    }

    /// <param name="config">The decoder.</param>
    /// <param name="prefix">What stands before every name but the head's.</param>
    /// <param name="head">The head's full name.</param>
    public static DecoderLayout Of(DecoderConfig config, string prefix, string head)
    {
        var names = DecoderNames.Of(config.ModelType);
        var projected = config.EmbeddingSize != config.HiddenSize;
        return new DecoderLayout(
            $"{prefix}{names.Embedding}.weight",
            config.LearnedPositions ? $"{prefix}{names.Positions}.weight" : null,
            projected ? Outside(prefix + names.ProjectIn, LinearRole.ProjectIn, config.HiddenSize, config.EmbeddingSize) : null,
            [.. Enumerable.Range(0, config.BlockCount).Select(index => Block(config, names, index, $"{prefix}{names.Blocks}.{index}."))],
            config.FinalNorm ? new NormSpec(prefix + names.FinalNorm, config.Norm, config.HiddenSize) : null,
            projected ? Outside(prefix + names.ProjectOut, LinearRole.ProjectOut, config.EmbeddingSize, config.HiddenSize) : null,
            config.TiedEmbeddings ? null : Outside(head, LinearRole.Head, config.VocabularySize, config.EmbeddingSize, config.HeadBias));
    }

    private static LinearSpec Outside(string module, LinearRole role, int outFeatures, int inFeatures, bool bias = false) =>
        new(-1, module, role, outFeatures, inFeatures, false, bias ? module + ".bias" : null, Fusion.None, []);

    private static BlockLayout Block(DecoderConfig config, DecoderNames names, int index, string prefix)
    {
        var kind = config.QkNorm == QkNorm.LayerNorm ? NormKind.LayerNorm : config.Norm == NormKind.RmsPlusOne ? NormKind.RmsPlusOne : NormKind.Rms;
        var (queries, keys) = config.QkNorm == QkNorm.RmsOfAllHeads
            ? (config.HeadCount * config.HeadDimension, config.KeyValueHeadCount * config.HeadDimension)
            : (config.HeadDimension, config.HeadDimension);
        return new BlockLayout(
            index,
            new NormSpec(prefix + names.AttentionNorm, config.Norm, config.HiddenSize),
            config.Order == BlockOrder.ParallelOneNorm ? null : new NormSpec(prefix + names.MlpNorm, config.Norm, config.HiddenSize),
            config.QkNorm == QkNorm.None ? null : new NormSpec(prefix + names.QueryNorm, kind, queries),
            config.QkNorm == QkNorm.None ? null : new NormSpec(prefix + names.KeyNorm, kind, keys),
            [.. Attention(config, names, index, prefix), .. Mlp(config, names, index, prefix)])
        {
            AttentionOutputNorm = names.AttentionOutputNorm is { } afterAttention ? new NormSpec(prefix + afterAttention, config.Norm, config.HiddenSize) : null,
            MlpOutputNorm = names.MlpOutputNorm is { } afterMlp ? new NormSpec(prefix + afterMlp, config.Norm, config.HiddenSize) : null,
        };
    }

    private static IEnumerable<LinearSpec> Attention(DecoderConfig config, DecoderNames names, int index, string prefix)
    {
        var queries = config.HeadCount * config.HeadDimension;
        var keys = config.KeyValueHeadCount * config.HeadDimension;
        if (config.Packing == QkvPacking.Separate)
        {
            yield return Inside(config, index, prefix + names.Query, LinearRole.Query, queries, config.HiddenSize, config.QkvBias);
            yield return Inside(config, index, prefix + names.Key, LinearRole.Key, keys, config.HiddenSize, config.QkvBias);
            yield return Inside(config, index, prefix + names.Value, LinearRole.Value, keys, config.HiddenSize, config.QkvBias);
        }
        else
        {
            yield return Inside(config, index, prefix + names.QueryKeyValue, LinearRole.QueryKeyValue, queries + 2 * keys, config.HiddenSize, config.QkvBias) with
            {
                Fusion = config.Packing == QkvPacking.Concatenated ? Fusion.Concatenated : Fusion.InterleavedByHead,
                Parts = [new(LinearRole.Query, queries), new(LinearRole.Key, keys), new(LinearRole.Value, keys)],
            };
        }
        yield return Inside(config, index, prefix + names.AttentionOutput, LinearRole.AttentionOutput, config.HiddenSize, queries, config.AttentionOutputBias);
    }

    private static IEnumerable<LinearSpec> Mlp(DecoderConfig config, DecoderNames names, int index, string prefix)
    {
        var width = config.IntermediateSize;
        if (config.FusedGateUp)
        {
            yield return Inside(config, index, prefix + names.GateUp, LinearRole.GateUp, 2 * width, config.HiddenSize, config.MlpBias) with
            {
                Fusion = Fusion.Concatenated,
                Parts = [new(LinearRole.Gate, width), new(LinearRole.Up, width)],
            };
        }
        else
        {
            if (config.Mlp == MlpKind.Gated)
                yield return Inside(config, index, prefix + names.Gate, LinearRole.Gate, width, config.HiddenSize, config.MlpBias);
            yield return Inside(config, index, prefix + names.Up, LinearRole.Up, width, config.HiddenSize, config.MlpBias);
        }
        yield return Inside(config, index, prefix + names.Down, LinearRole.Down, config.HiddenSize, width, config.MlpBias);
    }

    private static LinearSpec Inside(DecoderConfig config, int index, string module, LinearRole role, int outFeatures, int inFeatures, bool bias) =>
        new(index, module, role, outFeatures, inFeatures, config.TransposedLinears, bias ? module + ".bias" : null, Fusion.None, []);
}
