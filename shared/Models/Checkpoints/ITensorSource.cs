namespace Qbb.Models.Checkpoints;

/// <summary>The tensors of a checkpoint under Hugging Face's names, read on demand from memory-mapped files.</summary>
public interface ITensorSource : IDisposable
{
    /// <summary>All tensors, in file order.</summary>
    IReadOnlyList<TensorEntry> Entries { get; }

    bool Contains(string name);

    /// <exception cref="InvalidInputException">There is no such tensor; the message names it and the file.</exception>
    TensorEntry Describe(string name);

    /// <summary>Elements [first, first + destination.Length) of a tensor in row-major order, widened or dequantised to fp32.</summary>
    void ReadFloat(string name, long first, Span<float> destination);

    /// <summary>The stored bytes, for zero-copy views; false where the stored form is not plain (quantised, permuted).</summary>
    unsafe bool TryGetPointer(string name, out byte* pointer);
}
