using System.Text.Json.Nodes;

namespace Qbb.Models.Tests.Decoder;

/// <summary>Rotary frequencies in doubles, as the papers give them; keys are looked up in the inner object, then outside.</summary>
internal static class ReferenceRope
{
    /// <param name="config">config.json.</param>
    /// <param name="type">model_type.</param>
    /// <param name="head">Elements of a head.</param>
    /// <param name="length">Tokens of the sequence.</param>
    public static (double[] Frequencies, double Factor) Of(JsonObject config, string type, int head, int length)
    {
        // Of blocks that see all of the past, where there are two kinds.
        var inner = config["rope_parameters"]?["full_attention"] ?? config["rope_parameters"] ?? config["rope_scaling"];
        double? Value(string key) => inner?[key]?.GetValue<double>() ?? config[key]?.GetValue<double>();
        var share = Value("partial_rotary_factor") ?? Value("rotary_pct") ?? type switch { "phi" => 0.5, "gpt_neox" => 0.25, _ => 1 };
        var theta = Value("rope_theta") ?? Value("rotary_emb_base") ?? 10_000;
        var size = (int)(head * share);
        var kind = (inner?["rope_type"] ?? inner?["type"])?.GetValue<string>() ?? "default";
        var longest = Value("max_position_embeddings") ?? throw new InvalidOperationException("the test's config has no max_position_embeddings");
        var trained = config["original_max_position_embeddings"]?.GetValue<double>() ?? Value("original_max_position_embeddings") ?? longest;
        var factor = Value("factor") ?? longest / trained;
        var plain = Enumerable.Range(0, size / 2).Select(i => Math.Pow(theta, -2.0 * i / size)).ToArray();
        switch (kind)
        {
            case "default":
                return (plain, 1);
            case "linear":
                return ([.. plain.Select(f => f / factor)], 1);
            case "dynamic":
                var grown = length <= longest ? theta : theta * Math.Pow(factor * length / longest - factor + 1, size / (size - 2.0));
                return ([.. plain.Select((_, i) => Math.Pow(grown, -2.0 * i / size))], 1);
            case "llama3":
                var (low, high) = (Value("low_freq_factor")!.Value, Value("high_freq_factor")!.Value);
                return ([.. plain.Select(f =>
                {
                    var wavelength = 2 * Math.PI / f;
                    if (wavelength < trained / high)
                        return f;
                    if (wavelength > trained / low)
                        return f / factor;
                    var smooth = (trained / wavelength - low) / (high - low);
                    return (1 - smooth) * f / factor + smooth * f;
                })], 1);
            case "longrope":
            case "yarn" when type == "phi3":
            case "su":
                var divisors = inner![length > trained ? "long_factor" : "short_factor"]!.AsArray().Select(node => node!.GetValue<double>()).ToArray();
                var stretch = Value("attention_factor") ?? (factor > 1 ? Math.Sqrt(1 + Math.Log(factor) / Math.Log(trained)) : 1);
                return ([.. plain.Select((f, i) => f / divisors[i])], stretch);
            case "yarn":
                return (Yarn(plain, size, theta, trained, factor, inner!), Value("attention_factor") ?? YarnFactor(factor, Value("mscale"), Value("mscale_all_dim")));
            default:
                throw new InvalidOperationException(kind);
        }
    }

    private static double[] Yarn(double[] plain, int size, double theta, double trained, double factor, JsonNode inner)
    {
        // The index at which a frequency makes so many turns over the trained context: theta^(-2i/size) · trained = 2π · turns.
        double Index(double turns) => size / 2.0 * Math.Log(trained / (2 * Math.PI * turns)) / Math.Log(theta);
        var from = Index(inner["beta_fast"]?.GetValue<double>() ?? 32);
        var to = Index(inner["beta_slow"]?.GetValue<double>() ?? 1);
        if (inner["truncate"]?.GetValue<bool>() ?? true)
            (from, to) = (Math.Floor(from), Math.Ceiling(to));
        (from, to) = (Math.Max(from, 0), Math.Min(to, size - 1));
        var width = to == from ? 0.001 : to - from;
        return [.. plain.Select((f, i) =>
        {
            var ramp = Math.Min(1, Math.Max(0, (i - from) / width));
            return f * (1 - ramp) + f / factor * ramp;
        })];
    }

    private static double YarnFactor(double factor, double? mscale, double? all)
    {
        double Scale(double m) => factor > 1 ? 0.1 * m * Math.Log(factor) + 1 : 1;
        return mscale is > 0 && all is > 0 ? Scale(mscale.Value) / Scale(all.Value) : Scale(1);
    }
}
