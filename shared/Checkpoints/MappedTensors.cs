namespace Qbb.Checkpoints;

/// <summary>The tensors of one mapped file, whatever its format.</summary>
public abstract class MappedTensors : ITensorSource
{
    // Bounds the bytes taken in one call of a decoder: spans hold 2^31 at most.
    private const int ChunkElements = 1 << 20;
    private const int LongestBlock = 256;

    private readonly MappedFile file;
    private readonly Dictionary<string, StoredTensor> tensors;

    internal MappedTensors(MappedFile file, IReadOnlyList<StoredTensor> tensors)
    {
        this.file = file;
        this.tensors = tensors.ToDictionary(tensor => tensor.Entry.Name, StringComparer.Ordinal);
        Entries = [.. tensors.Select(tensor => tensor.Entry)];
    }

    /// <summary>The file that holds the tensors.</summary>
    public string Path => file.Path;

    /// <summary>Its size in bytes.</summary>
    public long Length => file.Length;

    /// <inheritdoc/>
    public IReadOnlyList<TensorEntry> Entries { get; }

    /// <inheritdoc/>
    public bool Contains(string name) => tensors.ContainsKey(name);

    /// <inheritdoc/>
    public TensorEntry Describe(string name) => Find(name).Entry;

    /// <inheritdoc/>
    public void ReadFloat(string name, long first, Span<float> destination)
    {
        var tensor = Find(name);
        CheckRange(first, destination.Length, tensor.Entry.Count);
        if (tensor.Type.Decode == null)
            throw new InvalidInputException(
                $"{Path}: tensor {name} is stored as {tensor.Type.Name}, which cannot be read; convert the file to a type that can "
                    + "(F32, F16, BF16, Q8_0, Q4_K, …)");
        ReadPartialBlock(tensor, ref first, ref destination);
        var length = tensor.Type.BlockLength;
        while (destination.Length >= length && destination.Length > 0)
        {
            var count = Math.Min(destination.Length, ChunkElements) / length * length;
            DecodeBlocks(tensor, first / length, destination[..count]);
            first += count;
            destination = destination[count..];
        }
        ReadPartialBlock(tensor, ref first, ref destination);
    }

    /// <inheritdoc/>
    public unsafe bool TryGetPointer(string name, out byte* pointer)
    {
        var tensor = Find(name);
        pointer = file.At(tensor.Offset, tensor.Entry.Bytes);
        if (tensor.Type.IsPlain && (nuint)pointer % (nuint)tensor.Type.BlockBytes == 0)
            return true;
        pointer = null;
        return false;
    }

    /// <summary>Stored bytes [first, first + destination.Length) of a tensor, of whatever type.</summary>
    /// <exception cref="InvalidInputException">There is no such tensor.</exception>
    public void ReadBytes(string name, long first, Span<byte> destination)
    {
        var tensor = Find(name);
        CheckRange(first, destination.Length, tensor.Entry.Bytes);
        file.Slice(tensor.Offset + first, destination.Length).CopyTo(destination);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        file.Dispose();
        GC.SuppressFinalize(this);
    }

    private protected long OffsetInFile(string name) => Find(name).Offset;

    private StoredTensor Find(string name) => tensors.TryGetValue(name, out var tensor)
        ? tensor
        : throw new InvalidInputException($"{Path}: there is no tensor {name}");

    private static void CheckRange(long first, int length, long size)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, size - first);
    }

    private void DecodeBlocks(StoredTensor tensor, long block, Span<float> destination)
    {
        var bytes = destination.Length / tensor.Type.BlockLength * tensor.Type.BlockBytes;
        tensor.Type.Decode!(file.Slice(tensor.Offset + block * tensor.Type.BlockBytes, bytes), destination);
    }

    /// <summary>Reads what lies in the block of <paramref name="first"/>, if the range begins or ends inside it, and moves on.</summary>
    private void ReadPartialBlock(StoredTensor tensor, ref long first, ref Span<float> destination)
    {
        var length = tensor.Type.BlockLength;
        var skip = (int)(first % length);
        if (destination.IsEmpty || (skip == 0 && destination.Length >= length))
            return;
        Span<float> block = stackalloc float[LongestBlock];
        DecodeBlocks(tensor, first / length, block[..length]);
        var count = Math.Min(length - skip, destination.Length);
        block.Slice(skip, count).CopyTo(destination);
        first += count;
        destination = destination[count..];
    }
}
