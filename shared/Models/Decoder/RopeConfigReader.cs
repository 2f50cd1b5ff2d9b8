using Qbb.Checkpoints;

namespace Qbb.Models.Decoder;

/// <summary>
/// Reads the rotary embedding from config.json: old (rope_theta, rope_scaling with type or rope_type, partial_rotary_factor or
/// rotary_pct, rotary_emb_base) and new spelling (rope_parameters). Precedence as in transformers 5: the inner object first, then
/// the outer keys, then the defaults; only original_max_position_embeddings is taken from outside when it stands there.
/// </summary>
internal static class RopeConfigReader
{
    private static readonly Dictionary<string, RopeKind> Kinds = new()
    {
        ["default"] = RopeKind.Default,
        ["linear"] = RopeKind.Linear,
        ["dynamic"] = RopeKind.Dynamic,
        ["yarn"] = RopeKind.Yarn,
        ["llama3"] = RopeKind.Llama3,
        ["longrope"] = RopeKind.LongRope,
        ["su"] = RopeKind.LongRope,
    };

    private static readonly string[] KeysOfAll = ["type", "rope_type", "rope_theta", "partial_rotary_factor"];

    /// <summary>What transformers reads for each kind besides.</summary>
    private static readonly Dictionary<RopeKind, string[]> KeysOf = new()
    {
        [RopeKind.Default] = [],
        [RopeKind.Linear] = ["factor"],
        [RopeKind.Dynamic] = ["factor"],
        [RopeKind.Yarn] =
            ["factor", "original_max_position_embeddings", "attention_factor", "beta_fast", "beta_slow", "truncate", "mscale", "mscale_all_dim"],
        [RopeKind.Llama3] = ["factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor"],
        [RopeKind.LongRope] = ["factor", "original_max_position_embeddings", "attention_factor", "short_factor", "long_factor"],
    };

    /// <param name="config">The whole config.json.</param>
    /// <param name="headDimension">Elements of one head.</param>
    /// <param name="maxPositions">max_position_embeddings.</param>
    /// <param name="share">The share of a head that is rotated when the file does not say; null where the family rotates all of it.</param>
    public static RopeConfig Read(ConfigValues config, string modelType, int headDimension, int maxPositions, double? share)
    {
        var outer = config;
        var inner = NonEmpty(config.Object("rope_scaling")) ?? NonEmpty(config.Object("rope_parameters"));
        var kind = ReadKind(inner, modelType);
        string[] ignored = [.. (inner?.Json ?? []).Select(pair => pair.Key).Except(KeysOfAll).Except(KeysOf[kind])];
        if (ignored.Length > 0)
            ModelWarnings.Report($"config.json: rope_scaling: {ModelWarnings.Some(ignored)} {(ignored.Length == 1 ? "has" : "have")} no effect with rope type "
                + $"{Kinds.First(pair => pair.Value == kind).Key}, as in transformers");
        var theta = inner?.OptionalNumber("rope_theta") ?? outer.OptionalNumber("rope_theta") ?? outer.OptionalNumber("rotary_emb_base") ?? 10_000;
        if (theta <= 1)
            throw outer.Wrong("rope_theta", theta, "greater than 1");
        var dimensions = ReadDimensions(outer, inner, headDimension, share);
        var rope = new RopeConfig
        {
            Kind = kind,
            Theta = theta,
            Dimensions = dimensions,
            MaxPositions = maxPositions,
            OriginalMaxPositions = maxPositions,
        };
        return kind == RopeKind.Default ? rope : ReadScaling(rope, outer, inner!);
    }

    /// <summary>
    /// The configuration as blocks of either type read it: rope_parameters has an object for each, or in the older spelling the outer keys
    /// are of the one and <paramref name="otherBase"/> is the base of the other, which is not scaled.
    /// </summary>
    public static (ConfigValues One, ConfigValues Other) ByLayerType(ConfigValues config, string one, string other, double theta, string otherBase)
    {
        if (config.Object("rope_parameters") is { } parameters && (parameters.Object(one) ?? parameters.Object(other)) is not null)
            return (Of(one), Of(other));
        var otherTheta = config.Number(otherBase, 10_000);
        return (config.WithDefault("rope_theta", theta), config.With(json =>
        {
            json.Remove("rope_scaling");
            json.Remove("rope_parameters");
            json["rope_theta"] = otherTheta;
        }));

        ConfigValues Of(string type) => config.With(json =>
        {
            json.Remove("rope_scaling");
            json["rope_parameters"] = parameters.Object(type)?.Json.DeepClone();
        });
    }

    private static RopeKind ReadKind(ConfigValues? inner, string modelType)
    {
        var key = inner is not null && inner.HasValue("rope_type") ? "rope_type" : "type";
        var name = inner?.Text(key);
        if (name is null)
            return RopeKind.Default;
        if (!Kinds.TryGetValue(name, out var kind))
            throw inner!.Unsupported(key, $"known are {string.Join(", ", Kinds.Keys)}");
        // The first Phi-3 files call LongRoPE "su" or "yarn".
        return modelType == "phi3" && kind == RopeKind.Yarn ? RopeKind.LongRope : kind;
    }

    private static int ReadDimensions(ConfigValues outer, ConfigValues? inner, int headDimension, double? share)
    {
        var given = inner?.OptionalNumber("partial_rotary_factor") ?? outer.OptionalNumber("partial_rotary_factor") ?? outer.OptionalNumber("rotary_pct");
        var where = inner is not null && inner.HasValue("partial_rotary_factor") ? inner : outer;
        if (share is null && given is not null and not 1)
            throw where.Unsupported("partial_rotary_factor", "this model type rotates whole heads");
        var dimensions = (int)(headDimension * (given ?? share ?? 1));
        if (dimensions < 2 || dimensions > headDimension || dimensions % 2 != 0)
            throw new InvalidInputException($"config.json: {dimensions} of {headDimension} elements of a head would be rotated; it must be an even number of 2 to {headDimension}");
        return dimensions;
    }

    private static RopeConfig ReadScaling(RopeConfig rope, ConfigValues outer, ConfigValues inner)
    {
        if (rope.Kind is RopeKind.Yarn or RopeKind.Llama3 or RopeKind.LongRope)
        {
            const string key = "original_max_position_embeddings";
            rope = rope with { OriginalMaxPositions = outer.HasValue(key) ? outer.Size(key) : inner.Size(key, rope.MaxPositions) };
        }
        // yarn and longrope may leave the factor out: it is then the ratio of the two contexts.
        double? ratio = rope.Kind is RopeKind.Yarn or RopeKind.LongRope ? (double)rope.MaxPositions / rope.OriginalMaxPositions : null;
        var factor = inner.OptionalNumber("factor") ?? ratio ?? throw new InvalidInputException($"config.json: the rotary scaling '{rope.Kind}' needs 'factor'");
        if (factor <= 0 || (factor < 1 && rope.Kind == RopeKind.Dynamic))
            throw inner.Wrong("factor", inner.Json["factor"], "at least 1");
        rope = rope with { Factor = factor };
        return rope.Kind switch
        {
            RopeKind.Dynamic when rope.Dimensions <= 2 => throw inner.Unsupported("rope_type", "dynamic scaling needs more than 2 rotated elements"),
            RopeKind.Yarn => ReadYarn(rope, inner),
            RopeKind.Llama3 => ReadLlama3(rope, inner),
            RopeKind.LongRope => ReadLongRope(rope, inner),
            _ => rope,
        };
    }

    private static RopeConfig ReadYarn(RopeConfig rope, ConfigValues inner) => rope with
    {
        AttentionFactor = inner.OptionalNumber("attention_factor"),
        // A zero counts as absent, as in transformers.
        BetaFast = NonZero(inner.OptionalNumber("beta_fast")) ?? 32,
        BetaSlow = NonZero(inner.OptionalNumber("beta_slow")) ?? 1,
        Truncate = inner.Flag("truncate", true),
        Mscale = NonZero(inner.OptionalNumber("mscale")),
        MscaleAllDimensions = NonZero(inner.OptionalNumber("mscale_all_dim")),
    };

    private static RopeConfig ReadLlama3(RopeConfig rope, ConfigValues inner)
    {
        var low = inner.OptionalNumber("low_freq_factor") ?? throw inner.Wrong("low_freq_factor", null, "a number");
        var high = inner.OptionalNumber("high_freq_factor") ?? throw inner.Wrong("high_freq_factor", null, "a number");
        if (low <= 0 || high <= low)
            throw inner.Wrong("high_freq_factor", high, $"greater than low_freq_factor = {low}, which must be positive");
        return rope with { LowFrequencyFactor = low, HighFrequencyFactor = high };
    }

    private static RopeConfig ReadLongRope(RopeConfig rope, ConfigValues inner)
    {
        return rope with
        {
            AttentionFactor = inner.OptionalNumber("attention_factor"),
            ShortFactor = Divisors("short_factor"),
            LongFactor = Divisors("long_factor"),
        };

        IReadOnlyList<double> Divisors(string key)
        {
            var divisors = inner.Numbers(key);
            return divisors.Count == rope.Dimensions / 2 && divisors.All(divisor => divisor > 0)
                ? divisors
                : throw inner.Wrong(key, inner.Json[key], $"a list of {rope.Dimensions / 2} positive numbers, one per rotated pair");
        }
    }

    private static double? NonZero(double? value) => value == 0 ? null : value;

    private static ConfigValues? NonEmpty(ConfigValues? values) => values is null || values.Json.Count == 0 ? null : values;
}
