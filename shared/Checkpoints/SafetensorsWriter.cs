using System.Buffers;
using System.Runtime.InteropServices;

namespace Qbb.Checkpoints;

/// <summary>
/// Writes one safetensors file as a stream: all tensors are declared first, then written in that order, each in one or more
/// pieces. The bytes go to <c>NAME.partial</c> beside the target, which appears under its own name, whole, at <see cref="Commit"/>.
/// </summary>
/// <remarks>
/// The format allows no holes between tensors: declare wide types before narrow ones where readers are to map them without a copy.
/// Arguments that break the protocol are <see cref="ArgumentException"/> or <see cref="InvalidOperationException"/>.
/// </remarks>
public sealed class SafetensorsWriter : IDisposable
{
    private const int ChunkElements = 1 << 18;

    private readonly string path;
    private readonly PartialFile file;
    private readonly IReadOnlyList<(TensorEntry Entry, StoredType Type)> tensors;
    private int current;
    private long written;

    private SafetensorsWriter(string path, IReadOnlyList<(TensorEntry Entry, StoredType Type)> tensors)
    {
        (this.path, file, this.tensors) = (path, PartialFile.Create(path, FileShare.None), tensors);
        SkipFinished();
    }

    /// <summary>Starts the file and writes its header.</summary>
    /// <param name="path">The target; an existing file is replaced, at <see cref="Commit"/> and not before.</param>
    /// <param name="declarations">All tensors, in the order in which they will be written.</param>
    /// <param name="metadata">Goes into <c>__metadata__</c> beside <c>"format": "pt"</c>.</param>
    /// <exception cref="InvalidInputException">The place cannot be written, or the disk is full.</exception>
    public static SafetensorsWriter Create(
        string path, IEnumerable<TensorDeclaration> declarations, IReadOnlyDictionary<string, string>? metadata = null)
    {
        var tensors = SafetensorsLayout.Resolve(declarations);
        var header = SafetensorsLayout.Header(tensors.Select(tensor => tensor.Entry), metadata);
        var writer = new SafetensorsWriter(path, tensors);
        try
        {
            writer.file.Write(header);
            return writer;
        }
        catch
        {
            writer.Dispose();
            throw;
        }
    }

    /// <summary>Writes the next numbers of a tensor of type F32, F16 or BF16, rounded to nearest, ties to even.</summary>
    /// <param name="name">The first declared tensor that is not complete yet.</param>
    /// <param name="values">All its elements, or the next of them.</param>
    /// <exception cref="InvalidInputException">A finite value is too large for the type, or the disk is full.</exception>
    public void Write(string name, ReadOnlySpan<float> values)
    {
        var type = Expect(name, values.Length, element: true);
        if (type is not ("F32" or "F16" or "BF16"))
            throw new ArgumentException($"tensor {name} is declared as {type}; floats become F32, F16 or BF16");
        if (type == "F32")
            file.Write(MemoryMarshal.AsBytes(values));
        else
            WriteRounded(name, values, type);
        Advance(values.Length * (type == "F32" ? 4L : 2L));
    }

    /// <summary>Writes the next bytes of a tensor of any type, as they are to be stored.</summary>
    /// <param name="name">The first declared tensor that is not complete yet.</param>
    /// <param name="bytes">All its bytes, or the next of them.</param>
    /// <exception cref="InvalidInputException">The disk is full.</exception>
    public void WriteBytes(string name, ReadOnlySpan<byte> bytes)
    {
        Expect(name, bytes.Length, element: false);
        file.Write(bytes);
        Advance(bytes.Length);
    }

    /// <summary>Brings everything to the disk and gives the file its name.</summary>
    /// <exception cref="InvalidOperationException">A declared tensor is not complete.</exception>
    /// <exception cref="InvalidInputException">The disk is full, or the name cannot be taken.</exception>
    public void Commit()
    {
        ObjectDisposedException.ThrowIf(file.IsClosed, this);
        if (current < tensors.Count)
            throw new InvalidOperationException(
                $"{path}: tensor {tensors[current].Entry.Name} has {written} of its {tensors[current].Entry.Bytes} bytes");
        file.Commit();
    }

    /// <summary>Removes what was written, unless it was committed.</summary>
    public void Dispose() => file.Dispose();

    private string Expect(string name, int length, bool element)
    {
        ObjectDisposedException.ThrowIf(file.IsClosed, this);
        if (current == tensors.Count)
            throw new InvalidOperationException($"{path}: all tensors are complete, {name} comes too late");
        var (entry, type) = tensors[current];
        if (entry.Name != name)
            throw new InvalidOperationException($"{path}: {entry.Name} is due with {entry.Bytes - written} bytes to come, not {name}");
        if (length * (element ? (long)type.BlockBytes : 1) > entry.Bytes - written)
            throw new ArgumentException($"tensor {name} has {entry.Bytes - written} bytes to come, more were given");
        return entry.Type;
    }

    private void WriteRounded(string name, ReadOnlySpan<float> values, string type)
    {
        var rounded = ArrayPool<ushort>.Shared.Rent(Math.Min(values.Length, ChunkElements));
        for (var start = 0; start < values.Length; start += ChunkElements)
        {
            var source = values[start..Math.Min(start + ChunkElements, values.Length)];
            var target = rounded.AsSpan(0, source.Length);
            var overflow = type == "F16" ? FloatConversion.SingleToHalf(source, target) : FloatConversion.SingleToBfloat16(source, target);
            if (overflow >= 0)
                throw new InvalidInputException(
                    $"tensor {name} holds {source[overflow]:G9} at index {written / 2 + start + overflow}, too large for {type}; write "
                        + $"it as {(type == "F16" ? "BF16 or F32" : "F32")}");
            file.Write(MemoryMarshal.AsBytes(target));
        }
        ArrayPool<ushort>.Shared.Return(rounded);
    }

    private void Advance(long bytes)
    {
        written += bytes;
        SkipFinished();
    }

    private void SkipFinished()
    {
        while (current < tensors.Count && written == tensors[current].Entry.Bytes)
            (current, written) = (current + 1, 0);
    }
}
