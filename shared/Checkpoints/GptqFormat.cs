using System.Text.Json.Nodes;

namespace Qbb.Checkpoints;

/// <summary>
/// GPTQ as gptqmodel 7.7 and AutoGPTQ write it: <c>qweight</c> [in·bits/32, out], dense along the inputs; <c>scales</c> [groups, out]; <c>qzeros</c>
/// [groups, out·bits/32], dense along the outputs; <c>g_idx</c> [in]. In version 1 zero points are stored less 1, which is taken from the whole word, so
/// that a 0 borrows from the field above; at 3 bits from every field by itself.
/// </summary>
/// <param name="Version">1 or 2.</param>
/// <param name="Bits">2, 3, 4 or 8.</param>
/// <param name="Group">Columns that share a scale; null for the row.</param>
/// <param name="Symmetric">Whether all zero points are in the middle.</param>
/// <param name="ActOrder">Whether columns were taken by falling importance: <c>g_idx</c> then says which group a column is of.</param>
public sealed record GptqFormat(int Version, int Bits, int? Group, bool Symmetric, bool ActOrder) : PackedFormat
{
    private const string Weight = ".qweight", Zero = ".qzeros", Scale = ".scales", Index = ".g_idx";

    /// <summary>Widths that there are.</summary>
    public static IReadOnlyList<int> Widths { get; } = [2, 3, 4, 8];

    /// <inheritdoc/>
    public override string Name => "GPTQ";

    /// <inheritdoc/>
    public override string Format => Version == 1 ? "gptq" : "gptq-v2";

    /// <inheritdoc/>
    public override string Description => $"GPTQ v{Version}, {Bits} bits, {GroupsOf(Group ?? 0)}{(Symmetric ? ", symmetric" : "")}{(ActOrder ? ", act-order" : "")}";

    /// <inheritdoc/>
    public override IReadOnlyList<string> Suffixes { get; } = [Weight, Zero, Scale, Index];

    private uint Ones => Bits == 3 ? 0 : uint.MaxValue / ((1u << Bits) - 1);

    internal static GptqFormat Read(PackedSettings settings)
    {
        var (format, other) = (settings.Text("checkpoint_format"), settings.Text("format"));
        if (format is not null && other is not null && format != other)
            throw settings.Wrong("format", $"checkpoint_format is {format}: set both to the one that tells how zero points are stored, gptq (less 1) or gptq_v2");
        // Files from before version 2 name none.
        var version = (format ?? other ?? "gptq") switch
        {
            "gptq" => 1,
            "gptq_v2" => 2,
            _ => throw settings.Wrong(format is null ? "format" : "checkpoint_format", "known are gptq and gptq_v2, which tell how zero points are stored"),
        };
        if (settings.Text("pack_dtype") is not (null or "int32"))
            throw settings.Wrong("pack_dtype", "known is int32");
        return new(version, settings.Bits("bits", [.. Widths]), settings.Group("group_size"), settings.Flag("sym") ?? false, settings.Flag("desc_act") ?? false);
    }

    /// <inheritdoc/>
    public override (long Rows, long Columns) ShapeOf(ITensorSource stored, string module)
    {
        var entry = stored.Describe(module + Weight);
        return entry is { Type: "I32", Shape.Count: 2 } && entry.Count > 0 && entry.Shape[0] * 32 % Bits == 0 && entry.Shape[1] * Bits % 32 == 0
            ? (entry.Shape[1], entry.Shape[0] * 32 / Bits) : throw Misfit(entry, $"I32 [inputs·{Bits}/32, outputs]");
    }

    /// <inheritdoc/>
    public override PackedWeight Read(ITensorSource stored, string module)
    {
        var (rows, columns) = ((int, int))ShapeOf(stored, module);
        var group = Math.Min(Group ?? columns, columns);
        var groups = (columns - 1) / group + 1;
        var words = ReadAll<uint>(stored, module + Weight, "I32", columns * Bits / 32, rows);
        var codes = new byte[rows * columns];
        Parallel.For(0, rows, row => WordPacking.Unpack(words, row, rows, Bits, padded: false, codes.AsSpan(row * columns, columns)));
        var (scales, type) = ReadScales(stored, module + Scale, groups, rows);
        var zeros = Zeros(ReadAll<uint>(stored, module + Zero, "I32", groups, rows * Bits / 32), rows, groups);
        CheckConvention(module, zeros);
        var index = stored.Contains(module + Index) ? ReadAll<int>(stored, module + Index, "I32", columns) : null;
        return new(Bits, rows, columns, group, type)
        {
            Codes = codes,
            Scales = Turned(scales, rows),
            Zeros = Turned(zeros, rows),
            GroupOf = index is null ? null : GroupsFrom(module + Index, index, group, groups),
        };
    }

    /// <inheritdoc/>
    public override string? Refusal(PackedWeight weight) => weight.Bits != Bits ? $"it has {weight.Bits} bits where others have {Bits}"
        : weight.InFeatures * Bits % 32 != 0 ? $"its rows of {weight.InFeatures} weights do not fill words"
        : RefusalOf(weight, Version == 1 ? 1 : 0, 32, order: true);

    /// <inheritdoc/>
    public override IReadOnlyList<NamedTensor> Write(string module, PackedWeight weight)
    {
        var (rows, columns, groups) = (weight.OutFeatures, weight.InFeatures, weight.Groups);
        var (words, zeros) = (new uint[columns * Bits / 32 * rows], new uint[groups * rows * Bits / 32]);
        for (var row = 0; row < rows; row++)
            WordPacking.Pack(weight.Codes.AsSpan(row * columns, columns), Bits, padded: false, words, row, rows);
        var fields = Array.ConvertAll(Turned(weight.Zeros, groups), zero => (byte)(Version == 1 && Bits == 3 ? (int)zero - 1 & 7 : (int)zero));
        for (var group = 0; group < groups; group++)
            WordPacking.Pack(fields.AsSpan(group * rows, rows), Bits, padded: false, zeros, group * rows * Bits / 32, 1);
        if (Version == 1)
            zeros = Array.ConvertAll(zeros, word => word - Ones);
        return
        [
            Tensor(module + Index, "I32", weight.GroupOf ?? [.. Enumerable.Range(0, columns).Select(column => column / weight.GroupSize)], columns),
            Scales(module + Scale, weight.Type, Turned(weight.Scales, groups), groups, rows),
            Tensor(module + Weight, "I32", words, columns * Bits / 32, rows),
            Tensor(module + Zero, "I32", zeros, groups, rows * Bits / 32),
        ];
    }

    /// <inheritdoc/>
    public override JsonObject ToJson(IEnumerable<string> ignored)
    {
        var format = Version == 1 ? "gptq" : "gptq_v2";
        return new()
        {
            ["bits"] = Bits,
            ["checkpoint_format"] = format,
            ["desc_act"] = ActOrder,
            ["format"] = format,
            ["group_size"] = Group ?? -1,
            ["lm_head"] = false,
            ["meta"] = new JsonObject { ["quantizer"] = new JsonArray("qbb") },
            ["method"] = "gptq",
            ["pack_dtype"] = "int32",
            ["quant_method"] = "gptq",
            ["sym"] = Symmetric,
        };
    }

    private float[] Zeros(uint[] words, int rows, int groups)
    {
        var (fields, width) = (new byte[groups * rows], rows * Bits / 32);
        if (Version == 1)
            words = Array.ConvertAll(words, word => word + Ones);
        for (var group = 0; group < groups; group++)
            WordPacking.Unpack(words, group * width, 1, Bits, padded: false, fields.AsSpan(group * rows, rows));
        return Array.ConvertAll(fields, field => (float)(Version == 1 && Bits == 3 ? field + 1 & 7 : field));
    }

    /// <summary>Symmetric zero points tell the version by themselves.</summary>
    private void CheckConvention(string module, float[] zeros)
    {
        var (middle, other) = (1 << (Bits - 1), Version == 1 ? 1 : -1);
        if (Symmetric && !zeros.AsSpan().ContainsAnyExcept(middle + other))
        {
            throw new InvalidInputException($"{module + Zero} has zero points of {middle + other} by checkpoint_format {(Version == 1 ? "gptq" : "gptq_v2")}, where sym requires {middle}",
                $"if the file is of version {3 - Version}, set checkpoint_format to {(Version == 1 ? "gptq_v2" : "gptq")} in config.json's quantization_config");
        }
    }
}

/// <summary>
/// AWQ as autoawq 0.2 writes it for its kernel gemm: <c>qweight</c> [in, out/8], <c>qzeros</c> [groups, out/8] and <c>scales</c> [groups, out], 4 bits,
/// packed along the outputs: nibble k of a word is of output 8w + (0, 2, 4, 6, 1, 3, 5, 7)[k].
/// </summary>
/// <param name="Group">Columns that share a scale; null for the row.</param>
public sealed record AwqFormat(int? Group) : PackedFormat
{
    private const string Weight = ".qweight", Zero = ".qzeros", Scale = ".scales";
    private const int Bits = 4, PerWord = 8;
    private static readonly int[] s_order = [0, 2, 4, 6, 1, 3, 5, 7];

    /// <inheritdoc/>
    public override string Name => "AWQ";

    /// <inheritdoc/>
    public override string Format => "awq";

    /// <inheritdoc/>
    public override string Description => $"AWQ (gemm), {Bits} bits, {GroupsOf(Group ?? 0)}";

    /// <inheritdoc/>
    public override IReadOnlyList<string> Suffixes { get; } = [Weight, Zero, Scale];

    internal static AwqFormat Read(PackedSettings settings)
    {
        if (settings.Text("version")?.ToLowerInvariant() is not (null or "gemm"))
            throw settings.Wrong("version", "known is gemm");
        if (settings.Flag("zero_point") == false)
            throw settings.Wrong("zero_point", "only files with zero points are known: nothing tells which zero point is meant without");
        settings.Bits("bits", Bits);
        return new(settings.Group("group_size"));
    }

    /// <inheritdoc/>
    public override (long Rows, long Columns) ShapeOf(ITensorSource stored, string module)
    {
        var entry = stored.Describe(module + Weight);
        return entry is { Type: "I32", Shape.Count: 2 } && entry.Count > 0 ? (entry.Shape[1] * PerWord, entry.Shape[0]) : throw Misfit(entry, "I32 [inputs, outputs/8]");
    }

    /// <inheritdoc/>
    public override PackedWeight Read(ITensorSource stored, string module)
    {
        var (rows, columns) = ((int, int))ShapeOf(stored, module);
        var group = Math.Min(Group ?? columns, columns);
        var groups = (columns - 1) / group + 1;
        var codes = Unpack(ReadAll<uint>(stored, module + Weight, "I32", columns, rows / PerWord));
        var zeros = Unpack(ReadAll<uint>(stored, module + Zero, "I32", groups, rows / PerWord));
        var (scales, type) = ReadScales(stored, module + Scale, groups, rows);
        return new(Bits, rows, columns, group, type)
        {
            Codes = Turned(codes, rows),
            Scales = Turned(scales, rows),
            Zeros = Turned(Array.ConvertAll(zeros, zero => (float)zero), rows),
        };
    }

    /// <inheritdoc/>
    public override string? Refusal(PackedWeight weight) => weight.Bits != Bits ? $"it has {weight.Bits} bits, and AWQ has {Bits}" : RefusalOf(weight, 0, PerWord, order: false);

    /// <inheritdoc/>
    public override IReadOnlyList<NamedTensor> Write(string module, PackedWeight weight)
    {
        var (rows, columns, groups) = (weight.OutFeatures, weight.InFeatures, weight.Groups);
        return
        [
            Tensor(module + Weight, "I32", Pack(Turned(weight.Codes, columns)), columns, rows / PerWord),
            Tensor(module + Zero, "I32", Pack(Array.ConvertAll(Turned(weight.Zeros, groups), zero => (byte)zero)), groups, rows / PerWord),
            Scales(module + Scale, weight.Type, Turned(weight.Scales, groups), groups, rows),
        ];
    }

    /// <inheritdoc/>
    public override JsonObject ToJson(IEnumerable<string> ignored) => new()
    {
        ["bits"] = Bits,
        ["group_size"] = Group ?? -1,
        ["modules_to_not_convert"] = null,
        ["quant_method"] = "awq",
        ["version"] = "gemm",
        ["zero_point"] = true,
    };

    private static byte[] Unpack(uint[] words)
    {
        var fields = new byte[words.Length * PerWord];
        for (var k = 0; k < fields.Length; k++)
            fields[k / PerWord * PerWord + s_order[k % PerWord]] = (byte)(words[k / PerWord] >> (k % PerWord * Bits) & 15);
        return fields;
    }

    private static uint[] Pack(byte[] fields)
    {
        var words = new uint[fields.Length / PerWord];
        for (var k = 0; k < fields.Length; k++)
            words[k / PerWord] |= (uint)fields[k / PerWord * PerWord + s_order[k % PerWord]] << (k % PerWord * Bits);
        return words;
    }
}
