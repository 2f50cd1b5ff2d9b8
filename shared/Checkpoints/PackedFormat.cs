using System.Runtime.InteropServices;
using System.Text.Json.Nodes;

namespace Qbb.Checkpoints;

/// <summary>How another program packs the matrices of a Hugging Face folder, as <c>quantization_config</c> says.</summary>
public abstract record PackedFormat
{
    /// <summary>Where AutoGPTQ keeps the settings beside config.json, or in its place.</summary>
    public const string SettingsFile = "quantize_config.json";

    private static readonly string[] s_first = [".qweight", ".weight_packed", ".W_q"];

    /// <summary>GPTQ, AWQ, compressed-tensors or HQQ.</summary>
    public abstract string Name { get; }

    /// <summary>The name, and what of it the file has, such as "GPTQ v1, 4 bits, groups of 128".</summary>
    public abstract string Description { get; }

    /// <summary>As <c>--format</c> of an export names it.</summary>
    public abstract string Format { get; }

    /// <summary>What follows a module's name in the names of its tensors; the first is there always.</summary>
    public abstract IReadOnlyList<string> Suffixes { get; }

    /// <summary>The format of a configuration; null where it names none of these.</summary>
    /// <param name="config">The content of config.json.</param>
    /// <param name="path">The file, for messages.</param>
    /// <exception cref="InvalidInputException">It names one whose settings are damaged or not supported; the message names them.</exception>
    public static PackedFormat? Read(JsonObject config, string path)
    {
        if (config["quantization_config"] is not JsonObject quantization)
            return null;
        var settings = new PackedSettings(quantization, path);
        return settings.Text("quant_method") switch
        {
            "gptq" => GptqFormat.Read(settings),
            "awq" => AwqFormat.Read(settings),
            "compressed-tensors" => CompressedTensorsFormat.Read(settings),
            "hqq" => HqqFormat.Read(settings),
            _ => null,
        };
    }

    /// <summary>A tensor that is packed by one of the formats; null where all are plain.</summary>
    public static string? FirstIn(ITensorSource tensors) => tensors.Entries.Select(entry => entry.Name).FirstOrDefault(name => s_first.Any(suffix => name.EndsWith(suffix, StringComparison.Ordinal)));

    /// <summary>The module of which this tensor is the first; null for other tensors.</summary>
    public string? ModuleOf(string tensor) => tensor.EndsWith(Suffixes[0], StringComparison.Ordinal) ? tensor[..^Suffixes[0].Length] : null;

    /// <summary>The module of a tensor that belongs to one.</summary>
    public string ModuleIn(string tensor) => tensor[..^Suffixes.First(suffix => tensor.EndsWith(suffix, StringComparison.Ordinal)).Length];

    /// <summary>The shape [out, in] of a module.</summary>
    /// <exception cref="InvalidInputException">A tensor is missing or of another type.</exception>
    public abstract (long Rows, long Columns) ShapeOf(ITensorSource stored, string module);

    /// <summary>Reads a module.</summary>
    /// <exception cref="InvalidInputException">A tensor is missing, or of another type or shape; the message names it.</exception>
    public abstract PackedWeight Read(ITensorSource stored, string module);

    /// <summary>Why the format does not hold a weight; null where it does.</summary>
    public abstract string? Refusal(PackedWeight weight);

    /// <summary>The tensors of a module; the inverse of <see cref="Read(ITensorSource, string)"/>.</summary>
    public abstract IReadOnlyList<NamedTensor> Write(string module, PackedWeight weight);

    /// <summary><c>quantization_config</c> of a model that is written.</summary>
    /// <param name="ignored">Linear modules that stay plain.</param>
    public abstract JsonObject ToJson(IEnumerable<string> ignored);

    /// <summary>What formats with whole zero points of a range refuse.</summary>
    private protected static string? RefusalOf(PackedWeight weight, int leastZero, int wholeRows, bool order)
    {
        if (weight.InFeatures % weight.GroupSize != 0)
            return $"its rows of {weight.InFeatures} weights do not divide into groups of {weight.GroupSize}";
        if (weight.OutFeatures % wholeRows != 0)
            return $"its {weight.OutFeatures} rows are no multiple of {wholeRows}";
        if (weight.GroupOf is not null && !order)
            return "its columns are in groups by an order of their own";
        if (weight.ScaleRows != weight.OutFeatures)
            return "its rows share scales";
        return weight.Zeros.Any(zero => zero != MathF.Floor(zero) || zero < leastZero || zero >= 1 << weight.Bits) ? $"its zero points are not whole numbers of {leastZero} to {(1 << weight.Bits) - 1}" : null;
    }

    /// <summary>In words.</summary>
    protected static string GroupsOf(int group) => group < 1 ? "one group a row" : $"groups of {group}";

    private protected T[] ReadAll<T>(ITensorSource stored, string name, string type, params long[] shape)
        where T : unmanaged
    {
        var entry = stored.Describe(name);
        if (entry.Type != type || !entry.Shape.SequenceEqual(shape))
            throw Misfit(entry, $"{type} [{string.Join(", ", shape)}]");
        var values = new T[entry.Count];
        stored.ReadBytes(name, 0, MemoryMarshal.AsBytes(values.AsSpan()));
        return values;
    }

    /// <summary>Scales or zero points, and the type that they are stored in.</summary>
    private protected (float[] Values, string Type) ReadScales(ITensorSource stored, string name, params long[] shape)
    {
        var entry = stored.Describe(name);
        if (entry.Type is not ("F16" or "BF16" or "F32") || !entry.Shape.SequenceEqual(shape))
            throw Misfit(entry, $"F16, BF16 or F32 [{string.Join(", ", shape)}]");
        var values = new float[entry.Count];
        stored.ReadFloat(name, 0, values);
        WeightChecks.ThrowIfNotFinite(name, values);
        return (values, entry.Type);
    }

    private protected InvalidInputException Misfit(TensorEntry entry, string expected) =>
        new($"{entry.Name} is {entry.Type} [{string.Join(", ", entry.Shape)}], where {Description} requires {expected}");

    /// <summary>The group of every column; null where they follow one another in groups of that size.</summary>
    private protected static int[]? GroupsFrom(string name, int[] groups, int group, int count)
    {
        if (groups.AsSpan().ContainsAnyExceptInRange(0, count - 1))
            throw new InvalidInputException($"{name} names a group that is not there: groups are 0 to {count - 1}");
        for (var column = 0; column < groups.Length; column++)
        {
            if (groups[column] != column / group)
                return groups;
        }
        return null;
    }

    private protected static NamedTensor Tensor<T>(string name, string type, T[] values, params long[] shape)
        where T : unmanaged => new(name, type, shape, MemoryMarshal.AsBytes<T>(values).ToArray());

    private protected static NamedTensor Scales(string name, string type, float[] values, params long[] shape) => type switch
    {
        "F16" => Tensor(name, type, Array.ConvertAll(values, value => (Half)value), shape),
        "BF16" => Tensor(name, type, Array.ConvertAll(values, value => (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16)), shape),
        _ => Tensor(name, type, values, shape),
    };

    /// <summary>[rows, columns] as [columns, rows].</summary>
    private protected static T[] Turned<T>(T[] values, int columns)
    {
        var (turned, rows) = (new T[values.Length], values.Length / columns);
        for (var row = 0; row < rows; row++)
        {
            for (var column = 0; column < columns; column++)
                turned[column * rows + row] = values[row * columns + column];
        }
        return turned;
    }
}

/// <summary>Members of <c>quantization_config</c>, whose faults name the file and the member.</summary>
/// <param name="json">The object.</param>
/// <param name="path">The file.</param>
internal sealed class PackedSettings(JsonObject json, string path)
{
    public JsonObject Json => json;

    public string? Text(string member) => json[member] is JsonValue value && value.TryGetValue<string>(out var text) ? text : null;

    public bool? Flag(string member) => json[member] is JsonValue value && value.TryGetValue<bool>(out var flag) ? flag : null;

    public int? Number(string member) => json[member] is JsonValue value && value.TryGetValue<int>(out var number) ? number : null;

    /// <summary>Bits of an integer.</summary>
    public int Bits(string member, params ReadOnlySpan<int> known) => Number(member) is { } bits && known.Contains(bits) ? bits : throw Wrong(member, $"known are {string.Join(", ", known.ToArray())}");

    /// <summary>Columns that share a scale; null for the row, which is −1 or null in the file.</summary>
    public int? Group(string member) => json[member] is null || Number(member) == -1 ? null : Number(member) is >= 1 and var group ? group : throw Wrong(member, "it must be a positive number, or -1 for the row");

    /// <summary>Settings of a part.</summary>
    public PackedSettings Part(JsonNode? part, string name) => part is JsonObject members ? new(members, $"{path}: {name}") : throw new InvalidInputException($"{path}: {name} is missing or not an object");

    public InvalidInputException Wrong(string member, string remedy) =>
        new($"{path}: {(path.EndsWith(".json", StringComparison.Ordinal) ? "quantization_config." : "")}{member} is {json[member]?.ToJsonString() ?? "missing"}", remedy);
}
