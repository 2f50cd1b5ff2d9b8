namespace Qbb.Checkpoints;

/// <summary>One tensor of a checkpoint as it is stored.</summary>
/// <param name="Name">Hugging Face's name, also for tensors that come from a GGUF file.</param>
/// <param name="Type">The stored type as its format spells it: F32, BF16, Q4_1, …</param>
/// <param name="Shape">Outermost dimension first, row-major.</param>
/// <param name="Bytes">Size in the file.</param>
public sealed record TensorEntry(string Name, string Type, IReadOnlyList<long> Shape, long Bytes)
{
    /// <summary>Number of elements; the product of <see cref="Shape"/>, 1 for a scalar.</summary>
    public long Count => Shape.Aggregate(1L, (product, size) => product * size);
}
