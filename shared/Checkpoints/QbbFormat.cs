using System.Text.Json.Nodes;

namespace Qbb.Checkpoints;

/// <summary>What <c>quantization_config</c> of a quantized model's config.json says of the format.</summary>
public static class QbbFormat
{
    /// <summary>The value of quant_method.</summary>
    public const string Method = "qbb";

    /// <summary>The value of version: the one that is written and read.</summary>
    public const int Version = 2;

    /// <summary>quantization_config of a quantized model; null for other models.</summary>
    /// <exception cref="InvalidInputException">The model was written in another version.</exception>
    public static JsonObject? Read(JsonObject config, string path)
    {
        if (config["quantization_config"] is not JsonObject quantization || quantization["quant_method"] is not JsonValue method
            || !method.TryGetValue<string>(out var name) || name != Method)
            return null;
        if (quantization["version"] is JsonValue value && value.TryGetValue<int>(out var version) && version == Version)
            return quantization;
        throw new InvalidInputException(
            $"{path}: was written in version {quantization["version"]?.ToJsonString() ?? "1"} of the format, and this program reads version {Version} only: " +
            "quantize again with  qbb quantize MODEL -o OUTPUT");
    }

    /// <summary>How embedding and head are stored: the member <c>embedding</c>; null where they are plain.</summary>
    /// <exception cref="InvalidInputException">The member is damaged.</exception>
    public static MatrixForm? Embedding(JsonObject quantization, string path)
    {
        if (quantization["embedding"] is not { } node)
            return null;
        if (node is JsonObject form && Number(form, "group_size") is >= 1 and var group && Number(form, "columns") is >= 1 and var columns)
        {
            if (Number(form, "bits") is { } bits && IntegerPacking.Supports(bits))
                return new IntegerForm(bits, group, columns);
            if (Number(form, "bases") is >= 1 and <= 8 and var bases && form["modules"] is JsonArray modules && modules.All(module => module is JsonValue value && value.TryGetValue<string>(out _)))
                return new BasesForm(bases, form["bias"]?.ToString() == "true", [.. modules.Select(module => module!.ToString())], group, columns);
        }
        throw new InvalidInputException(
            $"{path}: quantization_config.embedding is {node.ToJsonString()}; it must have group_size, columns, and bits (4, 6 or 8) or bases, bias and modules");
    }

    private static int? Number(JsonObject form, string member) => form[member] is JsonValue value && value.TryGetValue<int>(out var number) ? number : null;
}

/// <summary>
/// The power of two that all scales of one module are multiplied by, where fp16 alone would lose or overflow them: MODULE.scale_exponent, I32
/// [1]. Scales without it are as they are stored.
/// </summary>
public static class ScaleExponent
{
    private const int Most = 126;

    /// <summary>Name of the tensor.</summary>
    public static string NameOf(string module) => module + ".scale_exponent";

    /// <summary>The exponent of a module, 0 where it has none.</summary>
    /// <exception cref="InvalidInputException">The tensor is of another type or shape, or out of range.</exception>
    public static int Read(ITensorSource source, string module)
    {
        var name = NameOf(module);
        if (!source.Contains(name))
            return 0;
        var entry = source.Describe(name);
        Span<byte> bytes = stackalloc byte[sizeof(int)];
        if (entry.Type != "I32" || entry.Count != 1)
            throw new InvalidInputException($"{name} is {entry.Type} [{string.Join(", ", entry.Shape)}]; an exponent of scales is I32 [1]");
        source.ReadBytes(name, 0, bytes);
        var exponent = BitConverter.ToInt32(bytes);
        return Math.Abs((long)exponent) <= Most ? exponent : throw new InvalidInputException($"{name} is {exponent}; it must be -{Most} to {Most}");
    }

    /// <summary>The tensor's bytes.</summary>
    public static byte[] Bytes(int exponent) => BitConverter.GetBytes(exponent);

    /// <summary>2^<paramref name="exponent"/>, exactly.</summary>
    public static float Factor(int exponent) => MathF.ScaleB(1, exponent);
}
