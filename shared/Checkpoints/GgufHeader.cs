using System.Numerics;

namespace Qbb.Checkpoints;

/// <summary>
/// Parses and validates the header of a GGUF file, versions 2 and 3, little-endian
/// (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).
/// </summary>
internal sealed class GgufHeader
{
    private const int MaxDimensions = 4;
    private const int MaxAlignment = 1 << 20;
    private const int DefaultAlignment = 32;

    private GgufHeader(uint version, GgufMetadataReader metadata, int alignment, IReadOnlyList<StoredTensor> tensors, long dataStart) =>
        (Version, Metadata, Alignment, Tensors, DataStart) = (version, metadata, alignment, tensors, dataStart);

    public uint Version { get; }

    public GgufMetadataReader Metadata { get; }

    public int Alignment { get; }

    /// <summary>In the order of the header; shapes turned to outermost first.</summary>
    public IReadOnlyList<StoredTensor> Tensors { get; }

    /// <summary>Where the data section begins.</summary>
    public long DataStart { get; }

    /// <summary>The metadata of a file of which there is only the start.</summary>
    /// <exception cref="InvalidInputException">They break a rule, or go on behind what there is.</exception>
    public static Dictionary<string, object> MetadataOf(IReadableBytes start)
    {
        var cursor = new GgufCursor(start);
        CheckMagic(cursor);
        _ = CheckVersion(cursor, cursor.UInt32("the version"));
        // Tensors are not counted: what follows them is not there.
        _ = cursor.UInt64("the number of tensors");
        var count = GgufMetadataReader.CheckCount(cursor);
        var metadata = new GgufMetadataReader(cursor);
        metadata.Read(count);
        return metadata.Values;
    }

    /// <exception cref="InvalidInputException">The header breaks a rule; the message names the file, the entry and the rule.</exception>
    public static GgufHeader Parse(MappedFile file)
    {
        var cursor = new GgufCursor(file);
        CheckMagic(cursor);
        var version = CheckVersion(cursor, cursor.UInt32("the version"));
        // The smallest tensor entry: an empty name, no dimension, a type and an offset.
        var tensorCount = cursor.Count("tensors", 8 + 4 + 4 + 8, TensorShape.MaxTensors);
        var metadataCount = GgufMetadataReader.CheckCount(cursor);
        var metadata = new GgufMetadataReader(cursor);
        metadata.Read(metadataCount);
        var alignment = ReadAlignment(cursor, metadata.Values);
        var infos = new List<StoredTensor>(tensorCount);
        for (var i = 0; i < tensorCount; i++)
            infos.Add(ReadTensor(file, cursor, alignment));
        var dataStart = (cursor.Position + alignment - 1) / alignment * alignment;
        List<StoredTensor> tensors = [.. infos.Select(info => info with { Offset = Place(cursor, file.Length, dataStart, info) })];
        CheckNoneTwice(cursor, tensors);
        return new(version, metadata, alignment, tensors, dataStart);
    }

    private static void CheckMagic(GgufCursor cursor)
    {
        var magic = cursor.Take(4, "its first 4 bytes");
        if (magic.SequenceEqual("GGUF"u8))
            return;
        if (magic.SequenceEqual("lmgg"u8) || magic.SequenceEqual("tjgg"u8) || magic.SequenceEqual("fmgg"u8))
            throw cursor.Error("is a GGML file of the time before GGUF; convert it with llama.cpp's convert_llama_ggml_to_gguf.py or "
                + "download a GGUF file");
        throw cursor.Error("does not begin with 'GGUF'; it is not a GGUF file or it is damaged");
    }

    private static uint CheckVersion(GgufCursor cursor, uint version)
    {
        if (version is 2 or 3)
            return version;
        if (version != 0 && (version & 0xffff) == 0)
            throw cursor.Error("is a big-endian GGUF file; only little-endian ones can be read, convert it with gguf-py's "
                + "gguf_convert_endian");
        throw cursor.Error($"is GGUF version {version}; versions 2 and 3 can be read, make the file anew with a current llama.cpp");
    }

    private static int ReadAlignment(GgufCursor cursor, Dictionary<string, object> metadata)
    {
        if (!metadata.TryGetValue("general.alignment", out var value))
            return DefaultAlignment;
        if (value is ulong alignment && alignment <= MaxAlignment && BitOperations.IsPow2(alignment))
            return (int)alignment;
        throw cursor.Error($"general.alignment is {value}; it must be a power of two up to {MaxAlignment}");
    }

    /// <summary>Reads one entry; its offset is still that in the data section, or -1 where it is impossible.</summary>
    private static StoredTensor ReadTensor(MappedFile file, GgufCursor cursor, int alignment)
    {
        var name = cursor.Text("a tensor name", TensorShape.MaxNameLength);
        var printable = Printable.Name(name);
        var dimensions = cursor.UInt32($"tensor {printable}");
        if (dimensions > MaxDimensions)
            throw cursor.Error($"tensor {printable} has {dimensions} dimensions, more than {MaxDimensions}");
        var shape = new long[dimensions];
        for (var i = shape.Length - 1; i >= 0; i--)
        {
            var size = cursor.UInt64($"tensor {printable}");
            shape[i] = size <= long.MaxValue ? (long)size : throw cursor.Error($"tensor {printable} has a dimension of {size}");
        }
        var number = cursor.UInt32($"tensor {printable}");
        if (!GgmlTypes.ByNumber.TryGetValue(number, out var type))
            throw cursor.Error($"tensor {printable} has the unknown type {number}");
        var offset = cursor.UInt64($"tensor {printable}");
        if (!TensorShape.TryGetBytes(shape, type, out var bytes) || (shape.Length > 0 && shape[^1] % type.BlockLength != 0))
            throw cursor.Error($"tensor {printable} has a shape [{string.Join(", ", shape)}] of {type.Name} whose size overflows or "
                + $"whose rows are no multiple of {type.BlockLength}");
        if (offset % (ulong)alignment != 0)
            throw cursor.Error($"tensor {printable} begins at byte {offset}, which is not a multiple of the alignment {alignment}");
        return new(new(name, type.Name, shape, bytes), type, file, offset <= long.MaxValue ? (long)offset : -1);
    }

    private static long Place(GgufCursor cursor, long length, long dataStart, StoredTensor info)
    {
        var room = length - dataStart;
        if (info.Offset < 0 || info.Offset > room || info.Entry.Bytes > room - info.Offset)
            throw cursor.Error($"tensor {Printable.Name(info.Entry.Name)} lies outside the file; the file is cut off or damaged, "
                + "download it again");
        return dataStart + info.Offset;
    }

    private static void CheckNoneTwice(GgufCursor cursor, List<StoredTensor> tensors)
    {
        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (var tensor in tensors)
        {
            if (!names.Add(tensor.Entry.Name))
                throw cursor.Error($"lists tensor {Printable.Name(tensor.Entry.Name)} twice");
        }
        long end = 0;
        foreach (var tensor in tensors.Where(tensor => tensor.Entry.Bytes > 0).OrderBy(tensor => tensor.Offset))
        {
            if (tensor.Offset < end)
                throw cursor.Error($"tensor {Printable.Name(tensor.Entry.Name)} overlaps another tensor; the file is damaged");
            end = tensor.Offset + tensor.Entry.Bytes;
        }
    }
}
