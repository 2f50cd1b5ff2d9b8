using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;

namespace Qbb.Quantizer.Driver;

/// <summary>A folder that was written.</summary>
/// <param name="Bytes">Of its files.</param>
/// <param name="Description">The format with its settings.</param>
public sealed record PackedExportResult(long Bytes, string Description);

/// <summary>
/// Writes a model as a folder of GPTQ, AWQ, compressed-tensors or HQQ. Levels are taken as they are: what was packed is read again and compared bit by bit,
/// and what does not fit is refused. A folder that is of the format already is written as it was.
/// </summary>
public static class PackedExport
{
    private const int ElementsAtOnce = 1 << 20;

    /// <summary>All formats.</summary>
    public static IReadOnlyList<string> Formats { get; } = ["gptq", "gptq-v2", "awq", "compressed-tensors", "hqq"];

    /// <summary>Writes the folder.</summary>
    /// <param name="source">A model that qbb wrote, or a folder of one of the formats.</param>
    /// <param name="folder">Appears whole or not at all.</param>
    /// <param name="format">One of <see cref="Formats"/>.</param>
    /// <param name="force">Replace the folder if qbb wrote it.</param>
    /// <param name="bases">Of a nested model only the first planes; null for all.</param>
    /// <param name="progress">Told before each layer.</param>
    /// <param name="cancel">Stops between layers.</param>
    /// <exception cref="InvalidInputException">The target exists or cannot be written, or the format does not hold the model.</exception>
    public static PackedExportResult Write(ModelSource source, string folder, string format, bool force, int? bases = null,
        IProgress<(string Tensor, int Done, int Total)>? progress = null, CancellationToken cancel = default)
    {
        WrittenFiles.CheckTarget(folder, force, source.Path);
        var config = DecoderConfig.FromJson(source.ConfigJson);
        var layout = DecoderLayout.Resolve(config, source.Tensors);
        var layers = new PackedLayers(source, layout, bases);
        if (layers.Modules.Count == 0)
        {
            throw new InvalidInputException($"{source.Path}: is not quantized, and {format} takes levels as they are",
                $"quantize it first with  qbb quantize MODEL --target {TargetOf(format)} -o OUT,  or use --format fp16");
        }
        var isSame = source.Packed?.Format == format;
        var packed = isSame ? source.Packed! : layers.Choose(format);
        var declarations = new List<TensorDeclaration>();
        foreach (var module in layers.Modules)
        {
            cancel.ThrowIfCancellationRequested();
            var weight = layers.Read(module);
            if (!isSame && (weight is null ? "its levels are not uniform" : packed.Refusal(weight) ?? layers.Difference(module, weight)) is { } problem)
            {
                var others = Formats.Where(other => other != format && layers.Fit(other)).Append("fp16");
                throw new InvalidInputException($"{module}: {problem}, so {format} does not hold it, and an export changes nothing",
                    $"use --format {string.Join(" or ", others)}, or quantize with --target {TargetOf(format)}");
            }
            declarations.AddRange(packed.Write(module, weight!).Select(tensor => new TensorDeclaration(tensor.Name, tensor.Type, tensor.Shape)));
        }
        var plain = layout.TensorNames.Distinct().Except(layers.Modules.Select(module => module + ".weight")).Select(source.Tensors.Describe)
            .Select(entry => new TensorDeclaration(entry.Name, entry.Type is "F16" or "BF16" ? entry.Type : "F32", entry.Shape)).ToList();
        // Wide types first: then the plain ones can be mapped without a copy.
        plain = [.. plain.OrderByDescending(tensor => tensor.Type == "F32")];
        using var writer = ModelFolderWriter.Create(folder, force);
        var (done, current, tensors) = (0, "", new Dictionary<string, NamedTensor>());
        writer.WriteTensors([.. plain, .. declarations], (declaration, file) =>
        {
            cancel.ThrowIfCancellationRequested();
            if (done < plain.Count)
            {
                done++;
                CopyPlain(source.Tensors, declaration, file);
                return;
            }
            if (!tensors.ContainsKey(declaration.Name))
            {
                current = packed.ModuleIn(declaration.Name);
                progress?.Report((current, done++ - plain.Count, layers.Modules.Count));
                tensors = packed.Write(current, layers.Read(current)!).ToDictionary(tensor => tensor.Name);
            }
            file.WriteBytes(declaration.Name, tensors[declaration.Name].Bytes.Span);
        });
        WriteConfiguration(writer, source, layout, config, packed, isSame, layers);
        source.CopySideFiles(writer);
        writer.Commit();
        return new(writer.Bytes, packed.Description);
    }

    /// <summary>The target whose grid a format takes.</summary>
    private static string TargetOf(string format) => format is "gptq-v2" or "awq" ? "gptq" : format;

    private static void WriteConfiguration(
        ModelFolderWriter writer, ModelSource source, DecoderLayout layout, DecoderConfig config, PackedFormat packed, bool isSame, PackedLayers layers)
    {
        var json = layout.ConfigJson(config);
        var quantization = isSame ? source.ConfigJson["quantization_config"]!.DeepClone().AsObject()
            : packed.ToJson(layout.AllLinears.Select(linear => linear.Module).Append(layout.Head?.Module ?? DecoderLayout.Of(config with { TiedEmbeddings = false }).Head!.Module).Except(layers.Modules).Distinct());
        json["quantization_config"] = quantization;
        if (!isSame)
        {
            json.Remove("dtype");
            json["torch_dtype"] = layers.Type switch { "BF16" => "bfloat16", "F32" => "float32", _ => "float16" };
        }
        writer.WriteJson(ConfigFile.Name, json);
        if (packed is GptqFormat)
            writer.WriteJson(PackedFormat.SettingsFile, quantization.DeepClone());
        if (Path.Combine(source.Path, "recipe.json") is var recipe && File.Exists(recipe))
            writer.Copy(recipe);
    }

    private static void CopyPlain(ITensorSource tensors, TensorDeclaration declaration, SafetensorsWriter file)
    {
        var count = tensors.Describe(declaration.Name).Count;
        var buffer = new float[Math.Min(count, ElementsAtOnce)];
        for (long first = 0; first < count; first += buffer.Length)
        {
            var part = buffer.AsSpan(0, (int)Math.Min(buffer.Length, count - first));
            tensors.ReadFloat(declaration.Name, first, part);
            WeightChecks.ThrowIfNotFinite(declaration.Name, part);
            file.Write(declaration.Name, part);
        }
    }
}

/// <summary>The quantized layers of a model as integers with scales and zero points.</summary>
internal sealed class PackedLayers
{
    private readonly ModelSource _source;
    private readonly Dictionary<string, LinearSpec> _specs;
    private readonly PackedTensors? _packed;
    private readonly int? _group;
    private readonly int? _bases;
    private int _bits;

    public PackedLayers(ModelSource source, DecoderLayout layout, int? bases)
    {
        (_source, _packed, _bases) = (source, source.Tensors as PackedTensors, bases);
        _group = BasesLinearLoader.For(source, bases: bases)?.GroupSize;
        _specs = layout.Linears.Where(spec => BasesTensors.Contains(source.Tensors, spec.Module)).ToDictionary(spec => spec.Module, StringComparer.Ordinal);
        Modules = _packed is null ? [.. _specs.Keys] : [.. _packed.Matrices.Select(matrix => matrix[..^".weight".Length])];
    }

    /// <summary>Their names.</summary>
    public IReadOnlyList<string> Modules { get; }

    /// <summary>Of the scales.</summary>
    public string Type { get; private set; } = "F16";

    /// <summary>A layer; null where its levels are not uniform.</summary>
    public PackedWeight? Read(string module)
    {
        if (_packed is not null)
            return _packed.TryRead(module + ".weight")!;
        var bases = ReadBases(module);
        var (rows, columns, levels) = (bases.OutFeatures, bases.InFeatures, new UniformLevels(bases));
        var (codes, scales, zeros, q) = (new byte[rows * columns], new float[rows * bases.Groups], new float[rows * bases.Groups], new int[bases.GroupSize]);
        var bits = _bits > 0 ? _bits : GptqFormat.Widths.First(width => width >= bases.Count);
        for (var row = 0; row < rows; row++)
        {
            for (var group = 0; group < bases.Groups; group++)
            {
                var first = group * bases.GroupSize;
                var part = q.AsSpan(0, Math.Min(bases.GroupSize, columns - first));
                if (!levels.TryRead(row, group) || levels.Most >= 1 << bits || levels.Step == 0 && levels.Minimum != 0)
                    return null;
                levels.Levels(row, first, part);
                var (place, middle) = (row * bases.Groups + group, 1 << (bits - 1));
                scales[place] = (float)levels.Step;
                zeros[place] = levels.Step == 0 ? middle : (float)(-levels.Minimum / levels.Step);
                for (var k = 0; k < part.Length; k++)
                    codes[row * columns + first + k] = (byte)(levels.Step == 0 ? middle : part[k]);
            }
        }
        return new(bits, rows, columns, bases.GroupSize, "F16") { Codes = codes, Scales = scales, Zeros = zeros };
    }

    /// <summary>The format with the settings that the layers need.</summary>
    public PackedFormat Choose(string format)
    {
        var (group, symmetric, order, isRow) = (0, true, false, true);
        foreach (var module in Modules)
        {
            if (Read(module) is not { } weight)
                continue;
            (_bits, group, Type) = (Math.Max(_bits, weight.Bits), Math.Max(group, weight.GroupSize), weight.Type);
            symmetric &= weight.IsSymmetric;
            order |= weight.GroupOf is not null;
            isRow &= weight.GroupSize == weight.InFeatures;
        }
        int? size = isRow ? null : group;
        return format switch
        {
            "gptq" => new GptqFormat(1, _bits, size, symmetric, order),
            "gptq-v2" => new GptqFormat(2, _bits, size, symmetric, order),
            "awq" => new AwqFormat(size),
            "hqq" => HqqFormat.Of(_bits, size),
            _ => new CompressedTensorsFormat([new(_bits, size, symmetric)], new Version(CompressedTensorsFormat.Written)),
        };
    }

    /// <summary>Whether a format holds all layers.</summary>
    public bool Fit(string format)
    {
        var packed = Choose(format);
        return Modules.All(module => Read(module) is { } weight && packed.Refusal(weight) is null && Difference(module, weight) is null);
    }

    /// <summary>Where integers, scales and zero points are not the layer; null where they are.</summary>
    public string? Difference(string module, PackedWeight weight)
    {
        if (_packed is not null)
            return null;
        var (bases, plain) = (ReadBases(module), weight with { Type = "F32" });
        var (expected, found) = (new float[bases.InFeatures], new float[bases.InFeatures]);
        if (weight.Scales.Any(scale => (float)(Half)scale != scale))
            return "its steps are not numbers of fp16";
        for (var row = 0; row < bases.OutFeatures; row++)
        {
            bases.Dequantize(row, 1, expected);
            plain.Dequantize((long)row * bases.InFeatures, found);
            if (!expected.AsSpan().SequenceEqual(found))
                return $"row {row} is not the same in fp32";
        }
        return null;
    }

    private BinaryBases ReadBases(string module)
    {
        var spec = _specs[module];
        return BasesTensors.Read(_source.Tensors, module, spec.OutFeatures, spec.InFeatures, _group, _bases);
    }
}
