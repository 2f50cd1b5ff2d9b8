namespace Qbb.Checkpoints;

/// <summary>A tensor and the place of its bytes, counted from the start of the file.</summary>
internal sealed record StoredTensor(TensorEntry Entry, StoredType Type, long Offset);
