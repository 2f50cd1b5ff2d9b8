using System.Text;
using System.Text.Json.Nodes;

namespace Qbb.Checkpoints;

/// <summary>
/// HQQ as hqq 0.2.8 writes it: the matrix is reshaped to [elements/g, g] (axis 1) or [g, elements/g] (axis 0), then packed along its first dimension in
/// halves (4 bits), quarters (2) or eighths (1), the first in the highest bits, or at 3 bits in tenths of an int32, the first at bit 27. Zero points are in
/// units of codes and no integers.
/// </summary>
/// <param name="Bits">1, 2, 3, 4 or 8.</param>
/// <param name="Group">Elements that share a scale; null for the row, or column.</param>
/// <param name="Axis">1 for groups within rows.</param>
/// <param name="Settings">weight_quant_params of the configuration.</param>
public sealed record HqqFormat(int Bits, int? Group, int Axis, JsonObject Settings) : PackedFormat
{
    private const string Weight = ".W_q", Scale = ".scale", Zero = ".zero", Shape = ".shape";
    private static readonly string[] s_numbers = ["nbits", "group_size", "axis"];
    private static readonly string[] s_flags =
        ["channel_wise", "encoded_state_dict", "offload_meta", "optimize", "quant_scale", "quant_zero", "round_zero", "stores_quant_config", "view_as_float"];

    /// <inheritdoc/>
    public override string Name => "HQQ";

    /// <inheritdoc/>
    public override string Format => "hqq";

    /// <inheritdoc/>
    public override string Description => $"HQQ, {Bits} bits, {GroupsOf(Group ?? 0)}{(Axis == 0 ? " along the outputs" : "")}";

    /// <inheritdoc/>
    public override IReadOnlyList<string> Suffixes { get; } =
        [Weight, Scale, Zero, Shape, .. s_numbers.Concat(s_flags).Concat(["packing", "compute_dtype", "unpack_view_dtype"]).Select(name => "." + name)];

    /// <summary>Codes of a packed number.</summary>
    private int PerNumber => Bits == 3 ? 10 : 8 / Bits;

    internal static HqqFormat Read(PackedSettings settings)
    {
        var whole = settings.Part(settings.Json["quant_config"], "quantization_config.quant_config");
        foreach (var member in new[] { "scale_quant_params", "zero_quant_params" })
        {
            if (whole.Json[member] is not null)
                throw whole.Wrong(member, "scales and zero points that are quantized too are not read");
        }
        var weights = whole.Part(whole.Json["weight_quant_params"], "quantization_config.quant_config.weight_quant_params");
        if (weights.Flag("view_as_float") == true)
            throw weights.Wrong("view_as_float", "integers that are stored as floats are not read");
        return new(weights.Bits("nbits", 1, 2, 3, 4, 8), weights.Group("group_size"), weights.Number("axis") is { } axis and (0 or 1) ? axis : throw weights.Wrong("axis", "it must be 0 or 1"), weights.Json);
    }

    /// <summary>For a model that is written: groups within rows.</summary>
    public static HqqFormat Of(int bits, int? group) => new(bits, group, 1, new JsonObject
    {
        ["axis"] = 1,
        ["channel_wise"] = true,
        ["group_size"] = group,
        ["nbits"] = bits,
        ["optimize"] = true,
        ["round_zero"] = false,
        ["view_as_float"] = false,
    });

    /// <inheritdoc/>
    public override (long Rows, long Columns) ShapeOf(ITensorSource stored, string module)
    {
        var shape = ReadAll<long>(stored, module + Shape, "I64", 2);
        return shape[0] is >= 1 and <= int.MaxValue && shape[1] is >= 1 and <= int.MaxValue ? (shape[0], shape[1])
            : throw new InvalidInputException($"{module + Shape} is [{shape[0]}, {shape[1]}]; sizes must be at least 1");
    }

    /// <inheritdoc/>
    public override PackedWeight Read(ITensorSource stored, string module)
    {
        var (rows, columns) = ((int, int))ShapeOf(stored, module);
        var (lines, width, group) = Reshaped(module, rows, columns);
        CheckNumber(stored, module + ".nbits", Bits);
        CheckNumber(stored, module + ".axis", Axis);
        var packed = (lines - 1) / PerNumber + 1;
        var numbers = Bits == 3 ? ReadAll<uint>(stored, module + Weight, "I32", packed, width) : Array.ConvertAll(ReadAll<byte>(stored, module + Weight, "U8", packed, width), value => (uint)value);
        var codes = new byte[rows * columns];
        for (var line = 0; line < lines; line++)
        {
            var (place, shift) = (line % packed * width, (PerNumber - 1 - line / packed) * Bits);
            for (var k = 0; k < width; k++)
                codes[line * width + k] = (byte)(numbers[place + k] >> shift & (1u << Bits) - 1);
        }
        long[] shape = Axis == 1 ? [lines, 1] : [1, width];
        var (scales, type) = ReadScales(stored, module + Scale, shape);
        var (zeros, other) = ReadScales(stored, module + Zero, shape);
        if (other != type)
            throw Misfit(stored.Describe(module + Zero), $"{type}, as its scales");
        return new(Bits, rows, columns, Axis == 1 ? group : 1, type)
        {
            Codes = codes,
            Scales = scales,
            Zeros = zeros,
            ScaleRows = Axis == 1 ? rows : rows / group,
            RoundsDifference = true,
        };
    }

    /// <inheritdoc/>
    public override string? Refusal(PackedWeight weight)
    {
        if (weight.Bits != Bits)
            return $"it has {weight.Bits} bits where others have {Bits}";
        var whole = RefusalOf(weight with { Zeros = [] }, 0, 1, order: false);
        // What is subtracted in the type of the scales must be exact, or weights would be rounded twice.
        return whole ?? (weight.RoundsDifference || weight.Type == "F32" || weight.Codes.Select((q, k) => q - weight.Zeros[k / weight.InFeatures * weight.Groups + k % weight.InFeatures / weight.GroupSize])
            .All(difference => weight.Type == "F16" ? (float)(Half)difference == difference : difference == MathF.Floor(difference) && MathF.Abs(difference) <= 256) ? null : "its zero points have too many places");
    }

    /// <inheritdoc/>
    public override IReadOnlyList<NamedTensor> Write(string module, PackedWeight weight)
    {
        var (lines, width, _) = Reshaped(module, weight.OutFeatures, weight.InFeatures);
        var packed = (lines - 1) / PerNumber + 1;
        var numbers = new uint[packed * width];
        for (var line = 0; line < lines; line++)
        {
            for (var k = 0; k < width; k++)
                numbers[line % packed * width + k] |= (uint)weight.Codes[line * width + k] << ((PerNumber - 1 - line / packed) * Bits);
        }
        long[] shape = Axis == 1 ? [lines, 1] : [1, width];
        List<NamedTensor> tensors =
        [
            Bits == 3 ? Tensor(module + Weight, "I32", numbers, packed, width) : Tensor(module + Weight, "U8", Array.ConvertAll(numbers, number => (byte)number), packed, width),
            Scales(module + Scale, weight.Type, weight.Scales, shape),
            Scales(module + Zero, weight.Type, weight.Zeros, shape),
            Tensor(module + Shape, "I64", [(long)weight.OutFeatures, weight.InFeatures], 2),
            .. s_numbers.Where(name => Settings[name] is not null).Select(name => Tensor($"{module}.{name}", "I32", [Settings[name]!.GetValue<int>()])),
            .. s_flags.Select(name => Tensor($"{module}.{name}", "U8", [(byte)(name is "encoded_state_dict" or "stores_quant_config" || Settings[name]?.ToString() == "true" ? 1 : 0)])),
            Text("packing", Bits == 3 ? "3bit_32" : $"{Bits}bit_u8"),
            Text("compute_dtype", weight.Type switch { "F16" => "torch.float16", "BF16" => "torch.bfloat16", _ => "torch.float32" }),
            Text("unpack_view_dtype", Bits == 3 ? "torch.int32" : "torch.uint8"),
        ];
        return tensors;

        NamedTensor Text(string name, string text) => Tensor($"{module}.{name}", "U8", Encoding.ASCII.GetBytes(text), text.Length);
    }

    /// <inheritdoc/>
    public override JsonObject ToJson(IEnumerable<string> ignored) => new()
    {
        ["quant_config"] = new JsonObject
        {
            ["offload_meta"] = false,
            ["scale_quant_params"] = null,
            ["weight_quant_params"] = Settings.DeepClone(),
            ["zero_quant_params"] = null,
        },
        ["quant_method"] = "hqq",
        ["skip_modules"] = new JsonArray([.. ignored.Select(module => (JsonNode)module)]),
    };

    private (int Lines, int Width, int Group) Reshaped(string module, int rows, int columns)
    {
        var (length, name) = Axis == 1 ? (columns, "rows") : (rows, "columns");
        var group = Group ?? length;
        if (length % group != 0)
            throw new InvalidInputException($"{module}: {name} of {length} weights do not divide into groups of {group}", "groups that cross them are not supported; take the original or a dequantised checkpoint");
        return Axis == 1 ? (rows * columns / group, group, group) : (group, rows * columns / group, group);
    }

    private void CheckNumber(ITensorSource stored, string name, int expected)
    {
        if (stored.Contains(name) && ReadAll<int>(stored, name, "I32")[0] is var found && found != expected)
            throw new InvalidInputException($"{name} is {found}, where config.json's quantization_config says {expected}");
    }
}
