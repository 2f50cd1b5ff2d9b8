using Qbb.Checkpoints;
using Qbb.Models.Decoder;
using Qbb.Models.Tokenizers;

namespace Qbb.Models.Generation;

/// <summary>The tokens at which a model's text ends: eos_token_id of generation_config.json, else of config.json; one or several.</summary>
public static class StopIds
{
    private const string Key = "eos_token_id";

    /// <exception cref="InvalidInputException">A file is damaged, or holds something else there; the message names both.</exception>
    public static IReadOnlyList<int> Of(ModelSource source)
    {
        var file = Path.Combine(source.Path, "generation_config.json");
        var generation = source.Format == ModelSource.HuggingFace && File.Exists(file) ? new ConfigValues(ConfigFile.Read(file), file) : null;
        return generation?.HasValue(Key) == true ? generation.Ids(Key) : new ConfigValues(source.ConfigJson, "config.json").Ids(Key);
    }

    /// <summary>The same and the end token of tokenizer_config.json: what a chat template ends a turn with may be named there alone.</summary>
    /// <exception cref="InvalidInputException">A file is damaged, or holds something else there; the message names both.</exception>
    public static IReadOnlyList<int> OfTurns(ModelSource source, Tokenizer tokenizer) =>
        [.. Of(source).Concat(source.SpecialToken("eos_token") is { } end && tokenizer.TokenToId(end) is { } id ? [id] : []).Distinct()];
}
