namespace Qbb.Checkpoints;

/// <summary>
/// The tensors of a checkpoint, read on demand from memory-mapped files. Names are Hugging Face's, except in a bare
/// <c>GgufFile</c>, which keeps the file's own. Any number of threads may read at once; dispose only when none does.
/// </summary>
public interface ITensorSource : IDisposable
{
    /// <summary>All tensors, in file order.</summary>
    IReadOnlyList<TensorEntry> Entries { get; }

    bool Contains(string name);

    /// <exception cref="InvalidInputException">There is no such tensor; the message names it and the file.</exception>
    TensorEntry Describe(string name);

    /// <summary>Elements [first, first + destination.Length) of a tensor in row-major order, widened or dequantised to fp32; an empty range asks whether the type can be read.</summary>
    /// <exception cref="InvalidInputException">There is no such tensor, or its type cannot be read; the message names both.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The range leaves the tensor.</exception>
    void ReadFloat(string name, long first, Span<float> destination);

    /// <summary>
    /// The stored bytes, for zero-copy views; false where the stored form is not plain (quantised, permuted) or does not lie
    /// at a multiple of its element size. The pointer is good until the source is disposed.
    /// </summary>
    unsafe bool TryGetPointer(string name, out byte* pointer);

    /// <summary>Stored bytes [first, first + destination.Length) of a tensor, for types that fp32 cannot carry (packed planes).</summary>
    /// <exception cref="InvalidInputException">There is no such tensor, or it is not kept as its entry describes it.</exception>
    unsafe void ReadBytes(string name, long first, Span<byte> destination)
    {
        var entry = Describe(name);
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(destination.Length, entry.Bytes - first, nameof(destination));
        if (!TryGetPointer(name, out var pointer))
            throw new InvalidInputException($"tensor {name} ({entry.Type}) has no plain bytes; read it as floats");
        new ReadOnlySpan<byte>(pointer + first, destination.Length).CopyTo(destination);
    }
}
