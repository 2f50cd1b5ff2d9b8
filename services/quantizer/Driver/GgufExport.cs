using System.Runtime.InteropServices;
using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Recipes;

namespace Qbb.Quantizer.Driver;

/// <summary>A GGUF file that was written.</summary>
/// <param name="Bytes">Of the file.</param>
/// <param name="Types">How many tensors are of each type.</param>
public sealed record GgufExportResult(long Bytes, IReadOnlyDictionary<string, int> Types);

/// <summary>Rounds rows of so many columns of a tensor, by its name in the file, to blocks of a ggml type.</summary>
internal delegate byte[] RowEncoder(string tensor, string type, ReadOnlySpan<float> rows, int columns);

/// <summary>
/// Writes a model as a GGUF file. A format of blocks takes the levels of a quantized model as they are: every row is decoded again and compared bit by
/// bit, and what does not fit is refused. gguf-f16 and gguf-f32 take any model.
/// </summary>
public static class GgufExport
{
    /// <summary>The plain formats.</summary>
    public const string F16 = "gguf-f16", F32 = "gguf-f32";

    private const int ElementsAtOnce = 1 << 20;

    /// <summary>All formats.</summary>
    public static IReadOnlyList<string> Formats { get; } = [F16, F32, .. Target.All.Select(target => target.Name).Where(name => name.StartsWith("gguf-", StringComparison.Ordinal))];

    /// <summary>Writes the file.</summary>
    /// <param name="source">A model that qbb wrote; for the plain formats any.</param>
    /// <param name="path">The file; appears whole or not at all.</param>
    /// <param name="format">One of <see cref="Formats"/>.</param>
    /// <param name="force">Replace a GGUF file that is there.</param>
    /// <param name="bases">Of a nested model only the first planes; null for all.</param>
    /// <param name="progress">Told before each tensor.</param>
    /// <param name="cancel">Stops between tensors.</param>
    /// <exception cref="InvalidInputException">The file exists or cannot be written, the format does not hold the model, or GGUF has no words for it.</exception>
    public static GgufExportResult Write(ModelSource source, string path, string format, bool force, int? bases = null,
        IProgress<(string Tensor, int Done, int Total)>? progress = null, CancellationToken cancel = default) => Write(source, path, format, force, bases, null, progress, cancel);

    /// <summary>The same; with an encoder plain weights are rounded by it to the format's type, and embedding and head to Q8_0, or all to what <paramref name="typeOf"/> says of a tensor.</summary>
    internal static GgufExportResult Write(
        ModelSource source, string path, string format, bool force, int? bases, RowEncoder? encoder, IProgress<(string Tensor, int Done, int Total)>? progress, CancellationToken cancel,
        Func<string, string>? typeOf = null)
    {
        CheckTarget(path, force, source.Path);
        var target = Target.All.FirstOrDefault(target => target.Name == format);
        var loader = BasesLinearLoader.For(source, bases: bases);
        var config = DecoderConfig.FromJson(source.ConfigJson);
        var layout = DecoderLayout.Resolve(config, source.Tensors);
        var places = new GgufPlaces(config.ModelType, config.HeadCount, config.KeyValueHeadCount);
        var (keys, factors) = GgufModelKeys.Of(config, places);
        var pieces = new List<Piece>();
        foreach (var spec in layout.Linears.Where(spec => BasesTensors.Contains(source.Tensors, spec.Module)))
        {
            var entry = new TensorEntry(spec.Weight, "", WeightLoader.StoredShape(spec), 0);
            pieces.Add(new(places.Of(entry), target?.TypeName ?? TypeOf(format), spec, null));
        }
        if (target is not null && encoder is null)
            CheckFit(source, pieces, target, loader, bases);
        var quantized = pieces.Select(piece => piece.Layer!.Weight).ToHashSet(StringComparer.Ordinal);
        foreach (var name in layout.TensorNames.Where(name => !quantized.Contains(name)).Distinct())
        {
            var entry = source.Tensors.Describe(name);
            var integers = layout.Embeddings.Contains(name) ? Integers(source, name) : null;
            if (encoder is not null && entry.Shape.Count == 2)
            {
                var place = places.Of(entry);
                var type = typeOf?.Invoke(place.Name) ?? (layout.Embeddings.Contains(name) ? "Q8_0" : target!.TypeName);
                pieces.Add(new(place, entry.Shape[1] % GgmlPacking.BlockLength(type) == 0 ? type : "F16", null, null));
                continue;
            }
            pieces.Add(new(places.Of(entry), entry.Shape.Count < 2 ? "F32" : target is null ? TypeOf(format) : integers is not null ? "Q8_0" : PlainType(entry), null, target is null ? null : integers));
        }
        var metadata = GgufGeneralKeys.Of(source, config, places.Architecture, target, format).Concat(keys).Concat(GgufGeneralKeys.OfTokenizer(source, config));
        var declarations = factors.Select(factor => new TensorDeclaration(factor.Name, "F32", [factor.Values.Length]))
            .Concat(pieces.Select(piece => new TensorDeclaration(piece.Place.Name, piece.Type, piece.Place.Shape)));
        using var writer = GgufWriter.Create(path, metadata, declarations);
        foreach (var (name, values) in factors)
            writer.WriteBytes(name, MemoryMarshal.AsBytes<float>(values));
        var done = 0;
        foreach (var piece in pieces)
        {
            cancel.ThrowIfCancellationRequested();
            progress?.Report((piece.Place.Name, done++, pieces.Count));
            if (piece.Layer is { } layer)
                WriteLayer(writer, piece, Read(source, layer, loader, bases), target);
            else if (piece.Integers is { } form)
                WriteIntegers(writer, piece, source.StoredTensors, form);
            else
                WritePlain(writer, piece, source.Tensors, encoder);
        }
        GgufConfigCheck.Refuse(config, writer.Complete());
        writer.Commit();
        return new(writer.Bytes, pieces.CountBy(piece => piece.Type).OrderBy(count => count.Key, StringComparer.Ordinal).ToDictionary(count => count.Key, count => count.Value));
    }

    private static void CheckTarget(string path, bool force, string source)
    {
        if (Directory.Exists(path))
            throw new InvalidInputException($"{path} is a folder", "choose the name of a file that ends in .gguf");
        if (!File.Exists(path))
            return;
        if (Path.GetFullPath(path) == Path.GetFullPath(source))
            throw new InvalidInputException($"{path}: the output would replace its source", "choose another file");
        if (!force)
            throw new InvalidInputException($"{path} exists", "choose another output, or replace it with --force");
        Span<byte> magic = stackalloc byte[4];
        using var file = File.OpenRead(path);
        if (file.ReadAtLeast(magic, 4, throwOnEndOfStream: false) < 4 || !magic.SequenceEqual("GGUF"u8))
            throw new InvalidInputException($"{path} is not a GGUF file, and --force replaces no other", "choose another output");
    }

    private static string TypeOf(string format) => format == F32 ? "F32" : "F16";

    /// <summary>The type that keeps a tensor as it is.</summary>
    private static string PlainType(TensorEntry entry) => entry.Type is "F16" or "BF16" ? entry.Type : "F32";

    private static BinaryBases Read(ModelSource source, LinearSpec spec, BasesLinearLoader? loader, int? bases) =>
        BasesTensors.Read(source.Tensors, spec.Module, spec.OutFeatures, spec.InFeatures, loader?.GroupSize, bases);

    /// <summary>The form of an embedding whose integers fit Q8_0 as they are; null for others.</summary>
    private static IntegerForm? Integers(ModelSource source, string weight)
    {
        if (QbbFormat.Read(source.ConfigJson, source.Path) is not { } quantization || QbbFormat.Embedding(quantization, source.Path) is not IntegerForm form)
            return null;
        var module = weight[..^".weight".Length];
        return form.Columns % 32 == 0 && (form.GroupSize % 32 == 0 || form.GroupSize == form.Columns) && source.StoredTensors.Contains(form.Values(module))
            && ScaleExponent.Read(source.StoredTensors, module) == 0 ? form : null;
    }

    /// <summary>Refuses a model that the target does not hold, before anything is written.</summary>
    private static void CheckFit(ModelSource source, List<Piece> pieces, Target target, BasesLinearLoader? loader, int? bases)
    {
        if (pieces.Count == 0)
            throw new InvalidInputException($"{source.Path}: is not quantized, and {target} takes levels as they are", $"quantize it first with  qbb quantize MODEL --target {target} -o OUT,  or use --format {F16}");
        foreach (var piece in pieces)
        {
            if (GgufLevels.Fits(Read(source, piece.Layer!, loader, bases), target))
                continue;
            var others = Target.All.Where(other => other != target && pieces.All(one => GgufLevels.Fits(Read(source, one.Layer!, loader, bases), other))).Select(other => other.Name).Append(F16).Append(F32);
            throw new InvalidInputException($"{piece.Layer!.Weight}: its levels are not those of {target}, and an export changes none",
                $"use --format {string.Join(" or ", others)}, or quantize with --target {target}");
        }
    }

    private static void WriteLayer(GgufWriter writer, Piece piece, BinaryBases bases, Target? target)
    {
        var (rows, columns) = (bases.OutFeatures, bases.InFeatures);
        var (expanded, decoded) = (new float[columns], new float[columns]);
        if (target is null)
        {
            for (var row = 0; row < rows; row++)
            {
                bases.Dequantize(piece.Place.SourceRow(row), 1, expanded);
                WriteFloats(writer, piece, expanded);
            }
            return;
        }
        var levels = new UniformLevels(bases);
        var (q, packed) = (new int[target.Group], new byte[GgmlPacking.RowBytes(piece.Type, columns)]);
        var blockBytes = packed.Length / (columns / target.Group);
        for (var stored = 0; stored < rows; stored++)
        {
            var row = piece.Place.SourceRow(stored);
            for (var block = 0; block < columns / target.Group; block++)
            {
                levels.TryRead(row, block * target.Group / bases.GroupSize);
                var (step, minimum, first, sign) = GgufLevels.Fit(levels, target)!.Value;
                levels.Levels(row, block * target.Group, q);
                foreach (ref var level in q.AsSpan())
                    level = first + sign * level;
                GgmlPacking.Pack(piece.Type, q, step, minimum, packed.AsSpan(block * blockBytes, blockBytes));
            }
            bases.Dequantize(row, 1, expanded);
            GgmlPacking.Unpack(piece.Type, packed, decoded);
            if (!decoded.AsSpan().SequenceEqual(expanded))
                throw new InvalidInputException($"{piece.Layer!.Weight}: row {row} is not the same in fp32 when {target} holds it", $"use --format {F32}, or quantize with --target {target}");
            writer.WriteBytes(piece.Place.Name, packed);
        }
    }

    private static void WriteIntegers(GgufWriter writer, Piece piece, ITensorSource stored, IntegerForm form)
    {
        var module = piece.Module;
        var (rows, columns) = (stored.Describe(form.Values(module)).Shape[0], form.Columns);
        var (bytes, integers, scales) = (new byte[form.RowBytes], new sbyte[columns], new Half[form.Groups]);
        var (levels, packed) = (new int[32], new byte[GgmlPacking.RowBytes("Q8_0", columns)]);
        for (long row = 0; row < rows; row++)
        {
            stored.ReadBytes(form.Values(module), row * bytes.Length, bytes);
            stored.ReadBytes(form.Scales(module), row * scales.Length * sizeof(ushort), MemoryMarshal.AsBytes(scales.AsSpan()));
            IntegerPacking.Unpack(bytes, form.Bits, 0, integers);
            for (var first = 0; first < columns; first += levels.Length)
            {
                for (var j = 0; j < levels.Length; j++)
                    levels[j] = integers[first + j] + 128;
                GgmlPacking.Pack("Q8_0", levels, scales[first / form.GroupSize], default, packed.AsSpan(first / 32 * 34, 34));
            }
            writer.WriteBytes(piece.Place.Name, packed);
        }
    }

    private static void WritePlain(GgufWriter writer, Piece piece, ITensorSource tensors, RowEncoder? encoder)
    {
        var shape = piece.Place.Shape;
        var (rows, width) = (shape[0], shape.Count == 1 ? 1 : shape[^1]);
        var values = new float[Math.Clamp(ElementsAtOnce / width, 1, rows) * width];
        for (long row = 0; row < rows; row += values.Length / width)
        {
            var part = values.AsSpan(0, (int)Math.Min(values.Length, (rows - row) * width));
            piece.Place.Read(tensors, row, part);
            WeightChecks.ThrowIfNotFinite(piece.Place.Name, part);
            if (encoder is not null && shape.Count == 2)
                writer.WriteBytes(piece.Place.Name, encoder(piece.Place.Name, piece.Type, part, (int)width));
            else
                WriteFloats(writer, piece, part);
        }
    }

    private static void WriteFloats(GgufWriter writer, Piece piece, ReadOnlySpan<float> values)
    {
        if (piece.Type == "F32")
        {
            writer.WriteBytes(piece.Place.Name, MemoryMarshal.AsBytes(values));
            return;
        }
        var rounded = new ushort[values.Length];
        var overflow = piece.Type == "F16" ? FloatConversion.SingleToHalf(values, rounded) : FloatConversion.SingleToBfloat16(values, rounded);
        if (overflow >= 0)
            throw new InvalidInputException($"tensor {piece.Place.Name} holds {values[overflow]:G9}, too large for {piece.Type}", $"use --format {F32}");
        writer.WriteBytes(piece.Place.Name, MemoryMarshal.AsBytes<ushort>(rounded));
    }

    /// <param name="Place">Where it goes.</param>
    /// <param name="Type">ggml's.</param>
    /// <param name="Layer">A layer of binary bases; null for others.</param>
    /// <param name="Integers">The form of an embedding whose integers are taken as they are; null for others.</param>
    private sealed record Piece(GgufPlace Place, string Type, LinearSpec? Layer, IntegerForm? Integers)
    {
        /// <summary>Hugging Face's name without a suffix.</summary>
        public string Module => Place.SourceName[..Place.SourceName.LastIndexOf('.')];
    }
}
