namespace Qbb.Checkpoints;

/// <summary>A tensor and the place of its bytes, counted from the start of its file.</summary>
internal sealed record StoredTensor(TensorEntry Entry, StoredType Type, MappedFile File, long Offset);
