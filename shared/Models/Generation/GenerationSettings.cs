using System.Text.Json.Nodes;
using Qbb.Checkpoints;
using Qbb.Models.Decoder;

namespace Qbb.Models.Generation;

/// <summary>What a model's authors advise for sampling: generation_config.json, or GGUF's general.sampling keys. Null where nothing is said.</summary>
/// <param name="Temperature">0 where sampling is advised against.</param>
/// <param name="TopK">0 for all.</param>
/// <param name="TopP">1 for all.</param>
/// <param name="MinP">0 for all.</param>
/// <param name="RepetitionPenalty">1 for none.</param>
public sealed record GenerationSettings(double? Temperature = null, int? TopK = null, double? TopP = null, double? MinP = null, double? RepetitionPenalty = null)
{
    private const string File = "generation_config.json";

    /// <summary>The same; null where there are none.</summary>
    /// <exception cref="InvalidInputException">One of them is no number; the message names the file and the key.</exception>
    public static GenerationSettings? Find(ModelSource source) =>
        source.GgufMetadata is { } metadata ? FromGguf(metadata).Count > 0 ? Of(source) : null : System.IO.File.Exists(Path.Combine(source.Path, File)) ? Of(source) : null;

    /// <summary>Reads the settings.</summary>
    /// <exception cref="InvalidInputException">There are none, or one of them is no number; the message names the file and the key.</exception>
    public static GenerationSettings Of(ModelSource source)
    {
        var path = Path.Combine(source.Path, File);
        if (source.GgufMetadata is { } metadata)
            return Read(new ConfigValues(FromGguf(metadata), $"{source.Path}: general.sampling"), "temp", "penalty_repeat");
        if (!System.IO.File.Exists(path))
            throw new InvalidInputException($"{source.Path}: has no {File}: leave out --use-generation-config");
        return Read(new ConfigValues(ConfigFile.Read(path), path), "temperature", "repetition_penalty");
    }

    private static GenerationSettings Read(ConfigValues values, string temperature, string penalty)
    {
        var samples = values.Flag("do_sample", true);
        return new(
            samples ? values.OptionalNumber(temperature) : 0, values.HasValue("top_k") ? values.Size("top_k", minimum: 0) : null, values.OptionalNumber("top_p"),
            values.OptionalNumber("min_p"), values.OptionalNumber(penalty));
    }

    private static JsonObject FromGguf(IReadOnlyDictionary<string, object> metadata)
    {
        const string prefix = "general.sampling.";
        var settings = new JsonObject();
        foreach (var (key, value) in metadata.Where(pair => pair.Key.StartsWith(prefix, StringComparison.Ordinal)))
        {
            settings[key[prefix.Length..]] = value switch
            {
                ulong number => number,
                long number => number,
                float number when float.IsFinite(number) => double.Parse(number.ToString("R")),
                double number when double.IsFinite(number) => number,
                _ => $"{value}",
            };
        }
        return settings;
    }
}
