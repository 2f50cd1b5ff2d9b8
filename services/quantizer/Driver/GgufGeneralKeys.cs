using System.Text.Json.Nodes;
using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Models.Generation;
using Qbb.Models.Tokenizers;
using Qbb.Recipes;

namespace Qbb.Quantizer.Driver;

/// <summary>What a GGUF file says of itself beside the model's shape: its name, where it comes from, and its tokenizer.</summary>
internal static class GgufGeneralKeys
{
    /// <summary>llama.cpp's numbers of whole files' types, where it has one.</summary>
    private static readonly Dictionary<string, uint> s_fileTypes = new()
    {
        [GgufExport.F32] = 0,
        [GgufExport.F16] = 1,
        ["gguf-q4_0"] = 2,
        ["gguf-q4_1"] = 3,
        ["gguf-q8_0"] = 7,
        ["gguf-q5_1"] = 9,
    };

    /// <summary>Name, type, recipe and lineage.</summary>
    public static IEnumerable<KeyValuePair<string, object>> Of(ModelSource source, DecoderConfig config, string architecture, Target? target, string format)
    {
        var (name, license) = ModelCard.NameAndLicense(source);
        yield return new("general.architecture", architecture);
        yield return new("general.type", "model");
        yield return new("general.name", name);
        if (s_fileTypes.TryGetValue(format, out var type))
            yield return new("general.file_type", type);
        if (target is not null)
            yield return new("general.quantization_version", 2u);
        if (license is not null)
            yield return new("general.license", license);
        if (QbbFormat.Read(config.Json, source.Path) is not { } quantization)
            yield break;
        yield return new("general.quantized_by", "qbb");
        yield return new("general.base_model.count", 1u);
        yield return new("general.base_model.0.name", name);
        if (QuantizedModel.ReadMetrics(source.Path)["modelDigest"]?.ToString() is { } digest)
            yield return new("general.base_model.0.digest", digest);
        if (Path.Combine(source.Path, "recipe.json") is var recipe && File.Exists(recipe))
            yield return new("general.recipe", File.ReadAllText(recipe).Trim());
        if (quantization["recipe_digest"]?.ToString() is { } recipeDigest)
            yield return new("general.recipe_digest", recipeDigest);
    }

    /// <summary>Tokenizer, chat templates, and the tokens at which a text ends.</summary>
    public static IEnumerable<KeyValuePair<string, object>> OfTokenizer(ModelSource source, DecoderConfig config)
    {
        // Another GGUF file's tokenizer is taken as it is.
        if (source.GgufMetadata is { } metadata)
        {
            return metadata.Where(pair => pair.Key.StartsWith("tokenizer.", StringComparison.Ordinal)
                    && pair.Value is string or bool or ulong or long or float or string[] or float[] or int[])
                .Select(pair => pair.Value is ulong number and <= uint.MaxValue ? new(pair.Key, (uint)number) : pair);
        }
        var tokenizer = source.LoadTokenizer();
        var ends = StopIds.OfTurns(source, tokenizer);
        if (ends.Count > 3)
            ModelWarnings.Report($"the model has {ends.Count} end tokens; GGUF has keys for 3, and llama.cpp knows the others by their text alone");
        var padding = config.Json["pad_token_id"] is JsonValue pad && pad.TryGetValue<int>(out var id) ? id : (int?)null;
        var keys = GgufTokenizerKeys.Of(tokenizer, config.VocabularySize, ends, padding);
        var templates = source.ChatTemplates();
        var variants = templates.Where(template => template.Variant.Length > 0).Select(template => template.Variant).ToArray();
        return keys.Concat(templates.Select(template => new KeyValuePair<string, object>(
                template.Variant.Length == 0 ? "tokenizer.chat_template" : $"tokenizer.chat_template.{template.Variant}", template.Text)))
            .Concat(variants.Length == 0 ? [] : [new("tokenizer.chat_templates", variants)]);
    }
}
