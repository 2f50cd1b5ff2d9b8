using System.Buffers.Binary;
using System.Text.Json;
using System.Text.Unicode;

namespace Qbb.Checkpoints;

/// <summary>
/// Parses and validates the header of a safetensors file: 8 bytes of length, that many bytes of JSON, then the data, which the
/// tensors must tile without overlap or hole (https://huggingface.co/docs/safetensors, section Format).
/// </summary>
internal sealed class SafetensorsHeader
{
    /// <summary>The limit of the reference implementation.</summary>
    private const long MaxLength = 100_000_000;
    private const int MaxMetadataLength = 16 << 20;
    private const int PrefixLength = 8;

    private readonly MappedFile file;
    private readonly long dataStart;
    private readonly List<StoredTensor> tensors = [];
    private readonly HashSet<string> names = new(StringComparer.Ordinal);
    private Dictionary<string, string>? metadata;

    private SafetensorsHeader(MappedFile file, long dataStart) => (this.file, this.dataStart) = (file, dataStart);

    /// <summary>In the order of the header.</summary>
    public IReadOnlyList<StoredTensor> Tensors => tensors;

    public IReadOnlyDictionary<string, string> Metadata => metadata ?? [];

    /// <exception cref="InvalidInputException">The header breaks a rule; the message names the file, the tensor and the rule.</exception>
    public static SafetensorsHeader Parse(MappedFile file)
    {
        if (file.Length < PrefixLength)
            throw Error(file, $"has {file.Length} bytes, too few for a safetensors file; download it again");
        var length = BinaryPrimitives.ReadUInt64LittleEndian(file.Slice(0, PrefixLength));
        if (length > MaxLength)
            throw Error(file, $"its header claims {length} bytes, more than the {MaxLength} allowed; this is not a safetensors file or it "
                + "is damaged");
        if ((long)length > file.Length - PrefixLength)
            throw Error(file, $"its header claims {length} bytes but only {file.Length - PrefixLength} follow; the file is cut off, "
                + "download it again");
        var json = file.Slice(PrefixLength, (int)length);
        if (json.IsEmpty || json[0] != '{')
            throw Error(file, "its header does not begin with '{'; this is not a safetensors file or it is damaged");
        if (!Utf8.IsValid(json))
            throw Error(file, "its header is not valid UTF-8; the file is damaged");
        var header = new SafetensorsHeader(file, PrefixLength + (long)length);
        try
        {
            header.ReadObject(json);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException)
        {
            throw new InvalidInputException($"{file.Path}: its header is not valid JSON: {e.Message}", e);
        }
        header.CheckTiling();
        return header;
    }

    private static InvalidInputException Error(MappedFile file, string what) => new($"{file.Path}: {what}");

    private InvalidInputException Error(string name, string what) => Error(file, $"tensor {Printable.Name(name)} {what}");

    private void ReadObject(ReadOnlySpan<byte> json)
    {
        var reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = 8 });
        reader.Read();
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (reader.ValueSpan.Length > TensorShape.MaxNameLength)
                throw Error(file, $"its header holds a name of {reader.ValueSpan.Length} bytes, more than the "
                    + $"{TensorShape.MaxNameLength} allowed");
            var name = reader.GetString()!;
            reader.Read();
            if (reader.TokenType != JsonTokenType.StartObject)
                throw Error(name, "is described by something that is not a JSON object");
            if (name == "__metadata__")
                ReadMetadata(ref reader);
            else
                ReadTensor(name, ref reader);
        }
        // Nothing but spaces may follow the closing brace: reading on makes the reader say so.
        while (reader.Read())
        {
        }
    }

    private void ReadMetadata(ref Utf8JsonReader reader)
    {
        if (metadata != null)
            throw Error(file, "its header holds __metadata__ twice");
        metadata = new(StringComparer.Ordinal);
        long total = 0;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            total += reader.ValueSpan.Length;
            var key = total <= MaxMetadataLength ? reader.GetString()! : "";
            reader.Read();
            total += reader.ValueSpan.Length;
            if (total > MaxMetadataLength)
                throw Error(file, $"its __metadata__ holds more than the {MaxMetadataLength} bytes allowed");
            if (reader.TokenType != JsonTokenType.String)
                throw Error(file, $"__metadata__ value {Printable.Name(key)} is not a string");
            if (!metadata.TryAdd(key, reader.GetString()!))
                throw Error(file, $"__metadata__ holds {Printable.Name(key)} twice");
        }
    }

    private void ReadTensor(string name, ref Utf8JsonReader reader)
    {
        if (!names.Add(name))
            throw Error(name, "is listed twice");
        if (tensors.Count == TensorShape.MaxTensors)
            throw Error(file, $"lists more than {TensorShape.MaxTensors} tensors");
        StoredType? type = null;
        List<long>? shape = null, offsets = null;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (reader.ValueTextEquals("dtype"u8))
                type = type == null ? ReadType(name, ref reader) : throw Error(name, "has two dtypes");
            else if (reader.ValueTextEquals("shape"u8))
                shape = shape == null ? ReadNumbers(name, "shape", ref reader) : throw Error(name, "has two shapes");
            else if (reader.ValueTextEquals("data_offsets"u8))
                offsets = offsets == null ? ReadNumbers(name, "data_offsets", ref reader) : throw Error(name, "has data_offsets twice");
            else
                reader.Skip();
        }
        if (type == null || shape == null || offsets == null)
            throw Error(name, $"has no {(type == null ? "dtype" : shape == null ? "shape" : "data_offsets")}");
        AddTensor(name, type, [.. shape], offsets);
    }

    private StoredType ReadType(string name, ref Utf8JsonReader reader)
    {
        reader.Read();
        var text = reader.TokenType == JsonTokenType.String && reader.ValueSpan.Length <= 64 ? reader.GetString()! : null;
        if (text != null && SafetensorsTypes.ByName.TryGetValue(text, out var type))
            return type;
        throw Error(name, $"has the unknown dtype {Printable.Name(text ?? reader.TokenType.ToString())}; known are "
            + $"{string.Join(", ", SafetensorsTypes.ByName.Keys.Order(StringComparer.Ordinal))}");
    }

    private List<long> ReadNumbers(string name, string field, ref Utf8JsonReader reader)
    {
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartArray)
            throw Error(name, $"has a {field} that is not an array");
        var numbers = new List<long>();
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (reader.TokenType != JsonTokenType.Number || reader.ValueSpan[0] == '-' || !reader.TryGetInt64(out var number))
                throw Error(name, $"has a {field} with something that is not an integer from 0 to {long.MaxValue}");
            if (numbers.Count == TensorShape.MaxDimensions)
                throw Error(name, $"has a {field} of more than {TensorShape.MaxDimensions} numbers");
            numbers.Add(number);
        }
        return numbers;
    }

    private void AddTensor(string name, StoredType type, long[] shape, List<long> offsets)
    {
        var data = file.Length - dataStart;
        if (offsets.Count != 2)
            throw Error(name, $"has {offsets.Count} data_offsets, not 2");
        var (begin, end) = (offsets[0], offsets[1]);
        if (begin > end || end > data)
            throw Error(name, $"lies at bytes {begin} to {end} of {data}: out of range, the file is cut off or damaged");
        if (!TensorShape.TryGetBytes(shape, type, out var bytes))
            throw Error(name, $"has a shape [{string.Join(", ", shape)}] of {type.Name} whose size overflows or ends inside a byte");
        if (bytes != end - begin)
            throw Error(name, $"of {type.Name} [{string.Join(", ", shape)}] needs {bytes} bytes, its data_offsets give {end - begin}");
        tensors.Add(new(new(name, type.Name, shape, bytes), type, file, dataStart + begin));
    }

    private void CheckTiling()
    {
        var expected = dataStart;
        foreach (var tensor in tensors.OrderBy(tensor => tensor.Offset).ThenBy(tensor => tensor.Entry.Bytes))
        {
            if (tensor.Offset != expected)
                throw Error(tensor.Entry.Name, $"begins at byte {tensor.Offset - dataStart} of the data where {expected - dataStart} "
                    + $"was due: it {(tensor.Offset < expected ? "overlaps another tensor" : "leaves a hole")}");
            expected += tensor.Entry.Bytes;
        }
        if (expected != file.Length)
            throw Error(file, $"{file.Length - expected} bytes at its end belong to no tensor; the file is damaged");
    }
}
