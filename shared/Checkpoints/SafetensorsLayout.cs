using System.Buffers.Binary;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Qbb.Checkpoints;

/// <summary>Lays tensors out one behind the other and writes the header that says so.</summary>
internal static class SafetensorsLayout
{
    private const int MaxHeaderLength = 100_000_000;

    /// <summary>Types and sizes of the declared tensors.</summary>
    /// <exception cref="ArgumentException">A name occurs twice, a dtype is unknown or a shape is impossible.</exception>
    public static IReadOnlyList<(TensorEntry Entry, StoredType Type)> Resolve(IEnumerable<TensorDeclaration> declarations)
    {
        var names = new HashSet<string>(StringComparer.Ordinal) { "__metadata__" };
        var tensors = new List<(TensorEntry, StoredType)>();
        foreach (var (name, typeName, shape) in declarations)
        {
            if (!names.Add(name))
                throw new ArgumentException($"tensor {name} is declared twice");
            if (!SafetensorsTypes.ByName.TryGetValue(typeName, out var type))
                throw new ArgumentException($"tensor {name} has the unknown dtype {typeName}");
            if (!TensorShape.TryGetBytes(shape, type, out var bytes))
                throw new ArgumentException($"tensor {name} has the impossible shape [{string.Join(", ", shape)}]");
            tensors.Add((new(name, typeName, [.. shape], bytes), type));
        }
        return tensors;
    }

    /// <summary>Bytes that a declared tensor will take.</summary>
    public static long Bytes(TensorDeclaration declaration) => Resolve([declaration])[0].Entry.Bytes;

    /// <summary>The length prefix and the JSON, padded with spaces to a multiple of 8 bytes; the same input gives the same bytes.</summary>
    /// <exception cref="ArgumentException">The header would be larger than the format allows.</exception>
    public static byte[] Header(IEnumerable<TensorEntry> tensors, IReadOnlyDictionary<string, string>? metadata)
    {
        using var buffer = new MemoryStream();
        buffer.Write(new byte[8]);
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            WriteMetadata(json, metadata);
            long offset = 0;
            foreach (var tensor in tensors)
                WriteTensor(json, tensor, ref offset);
            json.WriteEndObject();
        }
        while (buffer.Length % 8 != 0)
            buffer.WriteByte((byte)' ');
        var header = buffer.ToArray();
        if (header.Length - 8 > MaxHeaderLength)
            throw new ArgumentException($"the header would have {header.Length - 8} bytes, the format allows {MaxHeaderLength}");
        BinaryPrimitives.WriteInt64LittleEndian(header, header.Length - 8);
        return header;
    }

    private static void WriteMetadata(Utf8JsonWriter json, IReadOnlyDictionary<string, string>? metadata)
    {
        // transformers refuses a file that does not say which framework wrote it.
        var entries = new SortedDictionary<string, string>(StringComparer.Ordinal) { ["format"] = "pt" };
        foreach (var (key, value) in metadata ?? new Dictionary<string, string>())
            entries[key] = value;
        json.WriteStartObject("__metadata__");
        foreach (var (key, value) in entries)
            json.WriteString(key, value);
        json.WriteEndObject();
    }

    private static void WriteTensor(Utf8JsonWriter json, TensorEntry tensor, ref long offset)
    {
        json.WriteStartObject(tensor.Name);
        json.WriteString("dtype", tensor.Type);
        json.WriteStartArray("shape");
        foreach (var size in tensor.Shape)
            json.WriteNumberValue(size);
        json.WriteEndArray();
        json.WriteStartArray("data_offsets");
        json.WriteNumberValue(offset);
        json.WriteNumberValue(checked(offset += tensor.Bytes));
        json.WriteEndArray();
        json.WriteEndObject();
    }
}
