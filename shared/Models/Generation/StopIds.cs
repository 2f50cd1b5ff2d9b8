using Qbb.Checkpoints;
using Qbb.Models.Decoder;

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
}
