namespace Qbb.Checkpoints;

/// <summary>The tensors of a mapped file, or of the mapped pieces of one, whatever its format.</summary>
public abstract class MappedTensors : ITensorSource
{
    // Bounds the bytes taken in one call of a decoder: spans hold 2^31 at most.
    private const int ChunkElements = 1 << 20;
    private const int LongestBlock = 256;

    private readonly IReadOnlyList<MappedFile> files;
    private readonly Dictionary<string, StoredTensor> tensors;

    /// <param name="files">Owned by the result; the first one names the whole.</param>
    /// <param name="tensors">The tensors of all files, each name once.</param>
    internal MappedTensors(IReadOnlyList<MappedFile> files, IReadOnlyList<StoredTensor> tensors)
    {
        this.files = files;
        this.tensors = tensors.ToDictionary(tensor => tensor.Entry.Name, StringComparer.Ordinal);
        Entries = [.. tensors.Select(tensor => tensor.Entry)];
    }

    /// <summary>The file that holds the tensors; of several pieces the first.</summary>
    public string Path => files[0].Path;

    /// <summary>The size of all files in bytes.</summary>
    public long Length => files.Sum(file => file.Length);

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
        pointer = tensor.File.At(tensor.Offset, tensor.Entry.Bytes);
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
        tensor.File.Slice(tensor.Offset + first, destination.Length).CopyTo(destination);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var file in files)
            file.Dispose();
        GC.SuppressFinalize(this);
    }

    private protected StoredTensor Find(string name) => tensors.TryGetValue(name, out var tensor)
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
        tensor.Type.Decode!(tensor.File.Slice(tensor.Offset + block * tensor.Type.BlockBytes, bytes), destination);
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
