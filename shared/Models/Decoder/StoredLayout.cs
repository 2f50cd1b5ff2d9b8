using Qbb.Checkpoints;

namespace Qbb.Models.Decoder;

/// <summary>Fits the layout that a configuration asks for to what a checkpoint holds; the tensors decide, and what differs is warned of.</summary>
internal static class StoredLayout
{
    private const int ElementsAtOnce = 1 << 18;

    public static DecoderLayout Resolve(DecoderConfig config, ITensorSource source)
    {
        var names = DecoderNames.Of(config.ModelType);
        var prefix = names.Prefixes.FirstOrDefault(prefix => source.Contains($"{prefix}{names.Embedding}.weight"))
            ?? throw new InvalidInputException(
                $"the checkpoint has no token embedding of a {config.ModelType} model; looked for {string.Join(", ", names.Prefixes.Select(prefix => $"{prefix}{names.Embedding}.weight"))}");
        var head = names.Heads.FirstOrDefault(head => source.Contains(head + ".weight"));
        var embedding = $"{prefix}{names.Embedding}.weight";
        if (config.TiedEmbeddings && head is not null && !AreEqual(source, embedding, head + ".weight"))
        {
            ModelWarnings.Report($"config.json ties the head to the embedding, but the checkpoint has a {head}.weight that differs from it; "
                + "that is used, as transformers does");
            config = config with { TiedEmbeddings = false };
        }
        var layout = WithStoredBiases(DecoderLayout.Of(config, prefix, head ?? names.Heads[0]), source);
        Check(config, layout, source);
        return layout;
    }

    /// <summary>A bias that is missing is zero. One that the configuration denies would change the result, unless it is zero.</summary>
    private static DecoderLayout WithStoredBiases(DecoderLayout layout, ITensorSource source)
    {
        var (missing, ignored) = (new List<string>(), new List<string>());
        var fitted = layout with
        {
            Blocks = [.. layout.Blocks.Select(block => block with
            {
                Linears = [.. block.Linears.Select(linear => Fit(linear)!)],
                AttentionNorm = FitNorm(block.AttentionNorm)!,
                MlpNorm = FitNorm(block.MlpNorm),
                QueryNorm = FitNorm(block.QueryNorm),
                KeyNorm = FitNorm(block.KeyNorm),
            })],
            FinalNorm = FitNorm(layout.FinalNorm),
            ProjectIn = Fit(layout.ProjectIn),
            ProjectOut = Fit(layout.ProjectOut),
            Head = Fit(layout.Head),
        };
        // In GGUF files a bias is there or not, tensor by tensor; no setting says which.
        if (missing.Count > 0 && source is not GgufTensors)
            ModelWarnings.Report($"config.json asks for {missing.Count} biases that the checkpoint lacks: {ModelWarnings.Some(missing)}; they count as zero");
        if (ignored.Count > 0)
            ModelWarnings.Report($"config.json asks for no bias in these layers; as they are zero, they are ignored: {ModelWarnings.Some(ignored)}");
        return fitted;

        NormSpec? FitNorm(NormSpec? norm)
        {
            if (norm?.Bias is not { } bias || source.Contains(bias))
                return norm;
            missing.Add(bias);
            return norm with { HasBias = false };
        }

        LinearSpec? Fit(LinearSpec? linear)
        {
            if (linear is null)
                return null;
            var name = linear.Module + ".bias";
            if (!source.Contains(name))
            {
                if (linear.Bias is not null)
                    missing.Add(name);
                return linear with { Bias = null };
            }
            if (linear.Bias is null)
            {
                if (!IsZero(source, name, linear.OutFeatures))
                    throw new InvalidInputException($"tensor {name} exists, but config.json says that this layer has no bias; correct the setting (attention_bias, "
                        + "mlp_bias, …) there");
                ignored.Add(name);
            }
            return linear;
        }
    }

    private static void Check(DecoderConfig config, DecoderLayout layout, ITensorSource source)
    {
        var method = config.ForeignQuantization;
        LinearSpec[] linears = [.. layout.AllLinears];
        foreach (var linear in linears.Where(linear => source.Contains(linear.Weight)))
        {
            if (!HoldsNumbers(source.Describe(linear.Weight).Type))
                throw new InvalidInputException($"tensor {linear.Weight} is stored as {source.Describe(linear.Weight).Type}: the weights were quantized by another "
                    + $"method{(method is null ? "" : $" ({method})")}; take the original or a dequantised checkpoint");
        }
        if (source is PackedTensors packed && linears.FirstOrDefault(linear => linear.Transposed && packed.Matrices.Contains(linear.Weight)) is { } turned)
            throw new InvalidInputException($"tensor {turned.Weight} is packed, and layers of {config.ModelType} lie the other way round, which packed is not read", "take the original or a dequantised checkpoint");
        var weights = linears.Select(linear => linear.Weight).ToHashSet(StringComparer.Ordinal);
        string[] absent = [.. weights.Where(weight => !source.Contains(weight))];
        if (absent.Length > 0 && method is not null)
            throw new InvalidInputException($"config.json: the weights were quantized by another method ({method}), there is no tensor {absent[0]}; take the original or a "
                + "dequantised checkpoint");
        // A layer of binary bases has other tensors under its name.
        var modules = absent.Length == 0 ? [] : source.Entries.Select(entry => entry.Name[..Math.Max(0, entry.Name.LastIndexOf('.'))]).ToHashSet(StringComparer.Ordinal);
        foreach (var name in layout.TensorNames.Where(name => !weights.Contains(name) || !modules.Contains(name[..name.LastIndexOf('.')])))
            source.Describe(name);
        // Types that cannot be read are refused before a number is.
        foreach (var name in layout.TensorNames.Where(source.Contains))
            source.ReadFloat(name, 0, []);
        if (method is not null && source is not PackedTensors)
            ModelWarnings.Report($"config.json: quantization_config ({method}) is ignored, as the weights are plain");
    }

    /// <summary>Whether the stored numbers are the weights themselves: integers and the narrowest floats need scales that lie elsewhere.</summary>
    private static bool HoldsNumbers(string type) =>
        !(type.StartsWith('I') && !type.StartsWith("IQ", StringComparison.Ordinal)) && type is not ("U8" or "U16" or "U32" or "U64" or "BOOL" or "C64" or "F4")
            && !type.StartsWith("F8", StringComparison.Ordinal) && !type.StartsWith("F6_", StringComparison.Ordinal);

    private static bool IsZero(ITensorSource source, string name, int most)
    {
        if (source.Describe(name).Count > most)
            return false;
        var values = new float[source.Describe(name).Count];
        source.ReadFloat(name, 0, values);
        return !values.AsSpan().ContainsAnyExcept(0f);
    }

    private static bool AreEqual(ITensorSource source, string first, string second)
    {
        var entry = source.Describe(first);
        if (!entry.Shape.SequenceEqual(source.Describe(second).Shape))
            return false;
        var length = (int)Math.Min(entry.Count, ElementsAtOnce);
        var (a, b) = (new float[length], new float[length]);
        for (long start = 0; start < entry.Count; start += length)
        {
            var count = (int)Math.Min(length, entry.Count - start);
            source.ReadFloat(first, start, a.AsSpan(0, count));
            source.ReadFloat(second, start, b.AsSpan(0, count));
            if (!a.AsSpan(0, count).SequenceEqual(b.AsSpan(0, count)))
                return false;
        }
        return true;
    }
}
