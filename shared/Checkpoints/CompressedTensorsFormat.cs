using System.Text.Json.Nodes;

namespace Qbb.Checkpoints;

/// <summary>
/// pack-quantized of compressed-tensors: <c>weight_packed</c> [out, words] along the inputs, <c>weight_scale</c> [out, groups], <c>weight_zero_point</c>
/// packed along the outputs [words, groups], <c>weight_shape</c>, <c>weight_g_idx</c> [in]. A field is the code + 2^(bits − 1). Widths that do not divide 32
/// are padded up to version 0.17 and dense from 0.18 on; the number of words tells too.
/// </summary>
/// <param name="Schemes">What layers may have.</param>
/// <param name="Version">Of the library; null where the file says none.</param>
public sealed record CompressedTensorsFormat(IReadOnlyList<CompressedTensorsFormat.Scheme> Schemes, Version? Version) : PackedFormat
{
    /// <summary>The version whose layout is written.</summary>
    public const string Written = "0.19.0";

    private const string PackQuantized = "pack-quantized";
    private const string Weight = ".weight_packed", Scale = ".weight_scale", Zero = ".weight_zero_point", Shape = ".weight_shape", Index = ".weight_g_idx";
    private static readonly Version s_firstDense = new(0, 18);

    /// <summary>What a group of layers has.</summary>
    /// <param name="Bits">Of a code.</param>
    /// <param name="Group">Columns that share a scale; null for the row.</param>
    /// <param name="Symmetric">Without zero points.</param>
    public sealed record Scheme(int Bits, int? Group, bool Symmetric);

    /// <inheritdoc/>
    public override string Name => "compressed-tensors";

    /// <inheritdoc/>
    public override string Format => "compressed-tensors";

    /// <inheritdoc/>
    public override string Description =>
        $"compressed-tensors {Version?.ToString() ?? "of unknown version"}, {string.Join("; ", Schemes.Select(scheme => $"{scheme.Bits} bits, {GroupsOf(scheme.Group ?? 0)}{(scheme.Symmetric ? ", symmetric" : "")}"))}";

    /// <inheritdoc/>
    public override IReadOnlyList<string> Suffixes { get; } = [Weight, Scale, Zero, Shape, Index];

    internal static CompressedTensorsFormat? Read(PackedSettings settings)
    {
        if (settings.Text("format") is var format && format != PackQuantized)
            throw settings.Wrong("format", $"known is {PackQuantized}, of integers packed in words; take the original or a dequantised checkpoint");
        if (settings.Json["sparsity_config"] is JsonObject { Count: > 0 } sparsity && sparsity["format"]?.ToString() is not (null or "dense"))
            throw settings.Wrong("sparsity_config", "sparse weights are not read");
        if (settings.Json["transform_config"] is JsonObject { Count: > 0 })
            throw settings.Wrong("transform_config", "weights that are rotated while they run are not read");
        if (settings.Json["config_groups"] is not JsonObject { Count: > 0 } groups)
            throw settings.Wrong("config_groups", "it must have one group of layers or more");
        var schemes = new List<Scheme>();
        foreach (var (name, node) in groups)
        {
            var group = settings.Part(node, name);
            if (group.Text("format") is not (null or PackQuantized))
                throw group.Wrong("format", $"known is {PackQuantized}");
            if (node!["input_activations"] is JsonObject)
                ModelWarnings.Report($"config.json: input_activations of {name} is ignored: activations are not quantized here");
            var weights = group.Part(node["weights"], $"{name}.weights");
            if (weights.Text("type") is not (null or "int"))
                throw weights.Wrong("type", "known is int");
            var strategy = weights.Text("strategy");
            if (strategy is not ("group" or "channel"))
                throw weights.Wrong("strategy", "known are group and channel");
            schemes.Add(new(weights.Bits("num_bits", 1, 2, 3, 4, 5, 6, 7, 8), strategy == "channel" ? null : weights.Group("group_size"), weights.Flag("symmetric") ?? true));
        }
        return new([.. schemes.Distinct()], System.Version.TryParse(Numbers(settings.Text("version")), out var version) ? version : null);

        static string Numbers(string? text) => string.Concat((text ?? "").TakeWhile(character => char.IsAsciiDigit(character) || character == '.')).TrimEnd('.');
    }

    /// <inheritdoc/>
    public override (long Rows, long Columns) ShapeOf(ITensorSource stored, string module)
    {
        var shape = ReadAll<long>(stored, module + Shape, "I64", 2);
        return shape[0] >= 1 && shape[1] >= 1 && shape[0] <= int.MaxValue && shape[1] <= int.MaxValue ? (shape[0], shape[1])
            : throw new InvalidInputException($"{module + Shape} is [{shape[0]}, {shape[1]}]; sizes must be at least 1");
    }

    /// <inheritdoc/>
    public override PackedWeight Read(ITensorSource stored, string module)
    {
        var (rows, columns) = ((int, int))ShapeOf(stored, module);
        var (scheme, padded) = SchemeOf(stored, module, columns);
        var (bits, group) = (scheme.Bits, Math.Min(scheme.Group ?? columns, columns));
        var (groups, width) = ((columns - 1) / group + 1, WordPacking.Words(columns, bits, padded));
        var words = ReadAll<uint>(stored, module + Weight, "I32", rows, width);
        var codes = new byte[rows * columns];
        Parallel.For(0, rows, row => WordPacking.Unpack(words, row * width, 1, bits, padded, codes.AsSpan(row * columns, columns)));
        var (scales, type) = ReadScales(stored, module + Scale, rows, groups);
        var index = stored.Contains(module + Index) ? ReadAll<int>(stored, module + Index, "I32", columns) : [-1];
        return new(bits, rows, columns, group, type)
        {
            Codes = codes,
            Scales = scales,
            Zeros = stored.Contains(module + Zero) ? ReadZeros(stored, module + Zero, rows, groups, bits, padded) : [.. Enumerable.Repeat((float)(1 << (bits - 1)), scales.Length)],
            // Older files have −1 for none.
            GroupOf = index.Contains(-1) ? null : GroupsFrom(module + Index, index, group, groups),
        };
    }

    /// <inheritdoc/>
    public override string? Refusal(PackedWeight weight) => RefusalOf(weight, 0, 1, order: false);

    /// <inheritdoc/>
    public override IReadOnlyList<NamedTensor> Write(string module, PackedWeight weight)
    {
        var (bits, rows, columns, groups, padded) = (weight.Bits, weight.OutFeatures, weight.InFeatures, weight.Groups, Version < s_firstDense);
        var width = WordPacking.Words(columns, bits, padded);
        var words = new uint[rows * width];
        for (var row = 0; row < rows; row++)
            WordPacking.Pack(weight.Codes.AsSpan(row * columns, columns), bits, padded, words, row * width, 1);
        List<NamedTensor> tensors =
        [
            Tensor(module + Weight, "I32", words, rows, width),
            Scales(module + Scale, weight.Type, weight.Scales, rows, groups),
            Tensor(module + Shape, "I64", [rows, (long)columns], 2),
        ];
        if (!SchemeOf(weight).Symmetric || !weight.IsSymmetric)
        {
            var height = WordPacking.Words(rows, bits, padded);
            var (zeros, fields) = (new uint[height * groups], Array.ConvertAll(Turned(weight.Zeros, groups), zero => (byte)zero));
            for (var group = 0; group < groups; group++)
                WordPacking.Pack(fields.AsSpan(group * rows, rows), bits, padded, zeros, group, groups);
            tensors.Add(Tensor(module + Zero, "I32", zeros, height, groups));
        }
        if (weight.GroupOf is { } index)
            tensors.Add(Tensor(module + Index, "I32", index, columns));
        return tensors;
    }

    /// <inheritdoc/>
    public override JsonObject ToJson(IEnumerable<string> ignored) => new()
    {
        ["config_groups"] = new JsonObject(Schemes.Select((scheme, place) => KeyValuePair.Create($"group_{place}", (JsonNode?)new JsonObject
        {
            ["format"] = PackQuantized,
            ["input_activations"] = null,
            ["output_activations"] = null,
            ["targets"] = new JsonArray("Linear"),
            ["weights"] = new JsonObject
            {
                ["actorder"] = null,
                ["block_structure"] = null,
                ["dynamic"] = false,
                ["group_size"] = scheme.Group,
                ["num_bits"] = scheme.Bits,
                ["scale_dtype"] = null,
                ["strategy"] = scheme.Group is null ? "channel" : "group",
                ["symmetric"] = scheme.Symmetric,
                ["type"] = "int",
                ["zp_dtype"] = scheme.Symmetric ? null : "torch.int8",
            },
        }))),
        ["format"] = PackQuantized,
        ["global_compression_ratio"] = null,
        ["ignore"] = new JsonArray([.. ignored.Select(module => (JsonNode)module)]),
        ["kv_cache_scheme"] = null,
        ["quant_method"] = "compressed-tensors",
        ["quantization_status"] = "compressed",
        ["sparsity_config"] = new JsonObject(),
        ["transform_config"] = new JsonObject(),
        ["version"] = (Version ?? new Version(Written)).ToString(),
    };

    private Scheme SchemeOf(PackedWeight weight) => Schemes.First(scheme => scheme.Bits == weight.Bits && Math.Min(scheme.Group ?? weight.InFeatures, weight.InFeatures) == weight.GroupSize);

    /// <summary>What the numbers of words and of scales say that a module has.</summary>
    private (Scheme Scheme, bool Padded) SchemeOf(ITensorSource stored, string module, int columns)
    {
        var (packed, scale) = (stored.Describe(module + Weight), stored.Describe(module + Scale));
        var (width, groups) = (packed.Shape.Count == 2 ? packed.Shape[1] : 0, scale.Shape.Count == 2 ? scale.Shape[1] : 0);
        var fitting = Schemes.Where(scheme => (scheme.Symmetric || stored.Contains(module + Zero))
            && (columns - 1) / Math.Min(scheme.Group ?? columns, columns) + 1 == groups && (Fits(scheme, false) || Fits(scheme, true))).DistinctBy(scheme => (scheme.Bits, scheme.Group)).ToList();
        if (fitting.Count != 1)
            throw Misfit(packed, fitting.Count == 0 ? $"I32 [outputs, words of {columns} inputs], and as many scales" : $"one scheme of {module}, and {fitting.Count} fit");
        var (dense, padded) = (Fits(fitting[0], false), Fits(fitting[0], true));
        // Where both are as wide, they are the same unless a code lies across a border.
        if (dense && padded && fitting[0].Bits is 3 or 5 or 6 or 7 && columns > 32 / fitting[0].Bits)
            return (fitting[0], (Version ?? throw new InvalidInputException($"{packed.Name}: nothing tells how its codes are packed", "set version in config.json's quantization_config to that of the library")) < s_firstDense);
        return (fitting[0], !dense);

        bool Fits(Scheme scheme, bool padded) => WordPacking.Words(columns, scheme.Bits, padded) == width;
    }

    private float[] ReadZeros(ITensorSource stored, string name, int rows, int groups, int bits, bool padded)
    {
        // The oldest files have them as they are, in bytes with a sign.
        if (stored.Describe(name).Type == "I8")
            return Array.ConvertAll(ReadAll<sbyte>(stored, name, "I8", rows, groups), zero => (float)(zero + (1 << (bits - 1))));
        var fields = new byte[rows * groups];
        var words = ReadAll<uint>(stored, name, "I32", WordPacking.Words(rows, bits, padded), groups);
        for (var group = 0; group < groups; group++)
            WordPacking.Unpack(words, group, groups, bits, padded, fields.AsSpan(group * rows, rows));
        return Turned(Array.ConvertAll(fields, field => (float)field), rows);
    }
}
