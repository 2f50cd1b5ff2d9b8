namespace Qbb.Checkpoints;

/// <summary>A tensor to be written to a safetensors file.</summary>
/// <param name="Name">Its name in the file.</param>
/// <param name="Type">The type as safetensors spells it: I32, F16.</param>
/// <param name="Shape">Outermost dimension first.</param>
/// <param name="Bytes">Its elements, little-endian, row-major.</param>
public sealed record NamedTensor(string Name, string Type, IReadOnlyList<long> Shape, ReadOnlyMemory<byte> Bytes);
