using System.Text.Json.Nodes;

namespace Qbb.Checkpoints;

/// <summary>Rope scaling of a GGUF file as Hugging Face's <c>rope_scaling</c>.</summary>
/// <remarks>
/// Llama 3's scaling comes as a tensor of factors, one per rotated pair, by which the frequencies are divided. Its parameters
/// are recovered where they give those factors; any other factors are carried exactly as longrope's, with no attention factor.
/// </remarks>
internal static class GgufRope
{
    // The factors are computed in fp32 from fp32 frequencies; smoothing amplifies their rounding by the factor.
    private const double Tolerance = 1e-4;
    private const double DefaultHigh = 4;
    private const double DefaultOriginal = 8192;

    /// <param name="file">The file.</param>
    /// <param name="parameters">Its metadata.</param>
    /// <param name="headDim">Elements of one head, all rotated.</param>
    /// <param name="theta">The base of the frequencies theta^(-2i/headDim).</param>
    /// <param name="context">The longest context the model is meant for.</param>
    /// <returns>Null where positions are not scaled.</returns>
    /// <exception cref="InvalidInputException">A kind of scaling that is not known, or factors that do not fit the heads.</exception>
    public static JsonObject? Scaling(GgufFile file, GgufParameters parameters, int headDim, double theta, int context)
    {
        // Phi-3's own factors are read with its family.
        if (file.Contains(GgufArchitecture.LongFactors))
            return null;
        // As llama.cpp reads it: a factor of 0 counts as absent, and one without a type is linear.
        var factor = parameters.Number("rope.scaling.factor") ?? parameters.Number("rope.scale_linear") ?? 1;
        factor = factor == 0 ? 1 : factor;
        var type = parameters.Text("rope.scaling.type") ?? (factor == 1 ? "none" : "linear");
        CheckFactors(file, parameters, isYarn: type == "yarn");
        if (file.Contains(GgufArchitecture.RopeFactors))
        {
            if (type is not ("none" or "linear") || (type == "linear" && factor != 1))
                throw new InvalidInputException(
                    $"{file.Path}: has both {GgufArchitecture.RopeFactors} and rope scaling of type {Printable.Name(type)}, which is "
                        + "not known; give the model as a Hugging Face folder");
            return FromFactors(file, parameters, headDim, theta, context);
        }
        return type switch
        {
            "linear" when factor == 1 => null,
            "none" => null,
            "linear" => new JsonObject { ["rope_type"] = "linear", ["factor"] = factor },
            "yarn" => Yarn(parameters, factor, context),
            _ => throw new InvalidInputException(
                $"{file.Path}: rope scaling of type {Printable.Name(type)} is not known for GGUF; known are none, linear, yarn and "
                    + $"factors in {GgufArchitecture.RopeFactors}"),
        };
    }

    /// <summary>Refuses what changes the result and config.json has no words for.</summary>
    private static void CheckFactors(GgufFile file, GgufParameters parameters, bool isYarn)
    {
        foreach (var (key, neutral) in new (string, double[])[]
        {
            ("rope.scaling.attn_factor", isYarn ? [] : [1]),
            ("rope.scaling.yarn_attn_factor", [1]),
            ("rope.scaling.yarn_ext_factor", isYarn ? [-1, 1] : [-1, 0]),
            ("rope.scaling.yarn_log_multiplier", [0]),
        })
        {
            if (neutral.Length > 0 && parameters.Number(key) is { } value && !neutral.Contains(value))
                throw new InvalidInputException($"{file.Path}: metadata {key} is {value} with rope scaling {(isYarn ? "of type yarn" : "other than yarn")}, "
                    + "which is not supported; give the model as a Hugging Face folder");
        }
    }

    private static JsonObject Yarn(GgufParameters parameters, double factor, int context)
    {
        var scaling = new JsonObject
        {
            ["rope_type"] = "yarn",
            ["factor"] = factor,
            ["original_max_position_embeddings"] = parameters.Size("rope.scaling.original_context_length") ?? context,
        };
        // llama.cpp multiplies its factor with yarn's own, Hugging Face takes the product.
        if (parameters.Number("rope.scaling.attn_factor") is { } attention && attention != 1)
            scaling["attention_factor"] = attention * (0.1 * Math.Log(factor) + 1);
        foreach (var (key, name) in new[] { ("rope.scaling.yarn_beta_fast", "beta_fast"), ("rope.scaling.yarn_beta_slow", "beta_slow") })
        {
            if (parameters.Number(key) is { } beta)
                scaling[name] = beta;
        }
        return scaling;
    }

    private static JsonObject? FromFactors(GgufFile file, GgufParameters parameters, int headDim, double theta, int context)
    {
        var entry = file.Describe(GgufArchitecture.RopeFactors);
        if (entry.Count != headDim / 2)
            throw new InvalidInputException(
                $"{file.Path}: {entry.Name} has {entry.Count} factors for heads of {headDim}, which need {headDim / 2}");
        var factors = new float[entry.Count];
        file.ReadFloat(entry.Name, 0, factors);
        WeightChecks.ThrowIfNotFinite(entry.Name, factors);
        if (factors.Any(factor => factor <= 0))
            throw new InvalidInputException($"{file.Path}: {entry.Name} holds a factor that is not positive; the file is damaged");
        if (factors.All(factor => factor == 1))
            return null;
        return Llama3(factors, theta, parameters.Size("rope.scaling.original_context_length")) ?? new JsonObject
        {
            ["rope_type"] = "longrope",
            ["short_factor"] = Array(factors),
            ["long_factor"] = Array(factors),
            ["factor"] = 1.0,
            ["attention_factor"] = 1.0,
            ["original_max_position_embeddings"] = context,
        };
    }

    private static JsonObject? Llama3(float[] factors, double theta, int? original)
    {
        var factor = Shortest(factors.Max());
        if (factor <= 1)
            return null;
        var candidates = new List<(double Low, double High, double Original)> { (1, DefaultHigh, original ?? DefaultOriginal) };
        if (Fit(factors, theta, factor, original) is { } fitted)
            candidates.Add(fitted);
        foreach (var (low, high, context) in candidates)
        {
            var expected = Llama3Factors(factors.Length, theta, factor, low, high, context);
            if (!expected.Zip(factors).All(pair => Math.Abs(pair.First - pair.Second) <= Tolerance * pair.First))
                continue;
            return new JsonObject
            {
                ["rope_type"] = "llama3",
                ["factor"] = factor,
                ["low_freq_factor"] = low,
                ["high_freq_factor"] = high,
                ["original_max_position_embeddings"] = (long)Math.Round(context),
            };
        }
        return null;
    }

    /// <summary>
    /// The line through the smoothed factors. smooth = (L/wavelength - low) / (high - low), so only the ratios of L, low and high
    /// can be told; L is taken from the file, else low as 1.
    /// </summary>
    private static (double Low, double High, double Original)? Fit(float[] factors, double theta, double factor, int? original)
    {
        var points = new List<(double X, double Y)>();
        for (var i = 0; i < factors.Length; i++)
        {
            if (factors[i] > 1 + Tolerance && factors[i] < factor * (1 - Tolerance))
                points.Add((1 / Wavelength(i, factors.Length, theta), (1 / factors[i] - 1 / factor) / (1 - 1 / factor)));
        }
        if (points.Count < 2)
            return null;
        var (meanX, meanY) = (points.Average(point => point.X), points.Average(point => point.Y));
        var slope = points.Sum(point => (point.X - meanX) * (point.Y - meanY)) / points.Sum(point => (point.X - meanX) * (point.X - meanX));
        var intercept = meanY - slope * meanX;
        if (!(slope > 0 && intercept < 0))
            return null;
        // With width = high - low: slope = L / width and intercept = -low / width.
        var width = original / slope ?? -1 / intercept;
        var low = -intercept * width;
        return (Math.Round(low, 2), Math.Round(low + width, 2), original ?? Math.Round(slope * width));
    }

    private static IEnumerable<double> Llama3Factors(int count, double theta, double factor, double low, double high, double original)
    {
        for (var i = 0; i < count; i++)
        {
            var wavelength = Wavelength(i, count, theta);
            var smooth = Math.Clamp((original / wavelength - low) / (high - low), 0, 1);
            yield return 1 / ((1 - smooth) / factor + smooth);
        }
    }

    private static double Wavelength(int pair, int pairs, double theta) => 2 * Math.PI * Math.Pow(theta, (double)pair / pairs);

    private static JsonArray Array(float[] values) => new([.. values.Select(value => (JsonNode)Shortest(value))]);

    private static double Shortest(float value) => double.Parse(value.ToString("R"));
}
