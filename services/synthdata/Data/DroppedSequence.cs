using Qbb.Synthdata.Quality;

namespace Qbb.Synthdata.Data;

/// <summary>A sequence that was sampled and left out.</summary>
/// <param name="Index">Its number among all that were asked for.</param>
/// <param name="Reason">Why.</param>
/// <param name="Quality">Its figures.</param>
public sealed record DroppedSequence(long Index, DropReason Reason, SequenceQuality Quality);
