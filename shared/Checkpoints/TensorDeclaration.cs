namespace Qbb.Checkpoints;

/// <summary>A tensor that is going to be written.</summary>
/// <param name="Name">Unique in the file.</param>
/// <param name="Type">A safetensors dtype: F32, F16, BF16, I32, …</param>
/// <param name="Shape">Outermost dimension first; empty for a scalar.</param>
public sealed record TensorDeclaration(string Name, string Type, IReadOnlyList<long> Shape);
