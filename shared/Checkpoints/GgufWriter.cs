using System.Text;

namespace Qbb.Checkpoints;

/// <summary>
/// Writes one GGUF file, version 3, as a stream: metadata and tensors are declared first, then the tensors' bytes come in that order, each in one or
/// more pieces. The bytes go to <c>NAME.partial</c> beside the target, which appears under its own name, whole, at <see cref="Commit"/>.
/// </summary>
/// <remarks>Arguments that break the protocol are <see cref="ArgumentException"/> or <see cref="InvalidOperationException"/>.</remarks>
public sealed class GgufWriter : IDisposable
{
    private const int Alignment = 32;
    private const uint ArrayType = 9;

    private readonly string _path;
    private readonly PartialFile _file;
    private readonly IReadOnlyList<StoredTensor> _tensors;
    private int _current;
    private long _written;

    private GgufWriter(string path, IReadOnlyList<StoredTensor> tensors) => (_path, _file, _tensors) = (path, PartialFile.Create(path, FileShare.Read), tensors);

    /// <summary>Bytes of the file so far.</summary>
    public long Bytes { get; private set; }

    /// <summary>Starts the file and writes its header.</summary>
    /// <param name="path">The target; an existing file is replaced, at <see cref="Commit"/> and not before.</param>
    /// <param name="metadata">Keys with strings, truth values, numbers, or arrays of one of these.</param>
    /// <param name="tensors">All tensors under GGUF's names with ggml's types, in the order in which they will be written.</param>
    /// <exception cref="InvalidInputException">The place cannot be written, or the disk is full.</exception>
    public static GgufWriter Create(string path, IEnumerable<KeyValuePair<string, object>> metadata, IEnumerable<TensorDeclaration> tensors)
    {
        var places = new List<StoredTensor>();
        var end = 0L;
        foreach (var (name, typeName, shape) in tensors)
        {
            var type = GgmlTypes.Named(typeName);
            if (!TensorShape.TryGetBytes(shape, type, out var bytes) || shape[^1] % type.BlockLength != 0)
                throw new ArgumentException($"tensor {name} [{string.Join(", ", shape)}] does not fit the blocks of {typeName}");
            places.Add(new(new(name, typeName, shape, bytes), type, null!, end));
            end = Padded(end + bytes);
        }
        var writer = new GgufWriter(path, places);
        try
        {
            writer.Put(Header([.. metadata], places));
            return writer;
        }
        catch
        {
            writer.Dispose();
            throw;
        }
    }

    /// <summary>Writes the next bytes of a tensor, as they are to be stored.</summary>
    /// <param name="name">The first declared tensor that is not complete yet.</param>
    /// <param name="bytes">All its bytes, or the next of them.</param>
    /// <exception cref="InvalidInputException">The disk is full.</exception>
    public void WriteBytes(string name, ReadOnlySpan<byte> bytes)
    {
        ObjectDisposedException.ThrowIf(_file.IsClosed, this);
        if (_current == _tensors.Count || _tensors[_current].Entry is var entry && entry.Name != name)
            throw new InvalidOperationException($"{_path}: {(_current == _tensors.Count ? "nothing" : _tensors[_current].Entry.Name)} is due, not {name}");
        if (bytes.Length > entry.Bytes - _written)
            throw new ArgumentException($"tensor {name} has {entry.Bytes - _written} bytes to come, more were given");
        Put(bytes);
        _written += bytes.Length;
        if (_written < entry.Bytes)
            return;
        Put(stackalloc byte[(int)(Padded(_written) - _written)]);
        (_current, _written) = (_current + 1, 0);
    }

    /// <summary>Brings everything to the disk; the file is whole, but has not its name yet.</summary>
    /// <returns>The name that it has, for a last look.</returns>
    /// <exception cref="InvalidOperationException">A declared tensor is not complete.</exception>
    /// <exception cref="InvalidInputException">The disk is full.</exception>
    public string Complete()
    {
        ObjectDisposedException.ThrowIf(_file.IsClosed, this);
        if (_current < _tensors.Count)
            throw new InvalidOperationException($"{_path}: tensor {_tensors[_current].Entry.Name} has {_written} of its {_tensors[_current].Entry.Bytes} bytes");
        _file.Flush();
        return _file.Name;
    }

    /// <summary>Brings everything to the disk and gives the file its name.</summary>
    /// <exception cref="InvalidOperationException">A declared tensor is not complete.</exception>
    /// <exception cref="InvalidInputException">The disk is full, or the name cannot be taken.</exception>
    public void Commit()
    {
        Complete();
        _file.Commit();
    }

    /// <summary>Removes what was written, unless it was committed.</summary>
    public void Dispose() => _file.Dispose();

    private static long Padded(long position) => (position + Alignment - 1) / Alignment * Alignment;

    private static byte[] Header(IReadOnlyCollection<KeyValuePair<string, object>> metadata, List<StoredTensor> tensors)
    {
        using var header = new MemoryStream();
        using var writer = new BinaryWriter(header);
        writer.Write("GGUF"u8);
        writer.Write(3u);
        writer.Write((ulong)tensors.Count);
        writer.Write((ulong)metadata.Count);
        foreach (var (key, value) in metadata)
        {
            WriteText(writer, key);
            writer.Write(TypeOf(value));
            if (value is Array array)
            {
                writer.Write(array.Length == 0 ? TypeOf("") : TypeOf(array.GetValue(0)!));
                writer.Write((ulong)array.Length);
                foreach (var element in array)
                    WriteValue(writer, element);
            }
            else
            {
                WriteValue(writer, value);
            }
        }
        foreach (var (entry, _, _, offset) in tensors)
        {
            WriteText(writer, entry.Name);
            writer.Write((uint)entry.Shape.Count);
            foreach (var size in entry.Shape.Reverse())
                writer.Write((ulong)size);
            writer.Write(GgmlTypes.Numbers[entry.Type]);
            writer.Write((ulong)offset);
        }
        writer.Write(new byte[Padded(header.Length) - header.Length]);
        return header.ToArray();
    }

    private static uint TypeOf(object value) => value switch
    {
        uint => 4,
        int => 5,
        float => 6,
        bool => 7,
        string => 8,
        Array => ArrayType,
        ulong => 10,
        long => 11,
        double => 12,
        _ => throw new ArgumentException($"metadata of type {value.GetType()} are not written"),
    };

    private static void WriteValue(BinaryWriter writer, object value)
    {
        switch (value)
        {
            case uint number: writer.Write(number); break;
            case int number: writer.Write(number); break;
            case float number: writer.Write(number); break;
            case bool flag: writer.Write(flag); break;
            case string text: WriteText(writer, text); break;
            case ulong number: writer.Write(number); break;
            case long number: writer.Write(number); break;
            case double number: writer.Write(number); break;
            default: throw new ArgumentException($"metadata of type {value.GetType()} are not written");
        }
    }

    private static void WriteText(BinaryWriter writer, string text)
    {
        var bytes = Encoding.UTF8.GetBytes(text);
        writer.Write((ulong)bytes.Length);
        writer.Write(bytes);
    }

    private void Put(ReadOnlySpan<byte> bytes)
    {
        _file.Write(bytes);
        Bytes += bytes.Length;
    }
}
