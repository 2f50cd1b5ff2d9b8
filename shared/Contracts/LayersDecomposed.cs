namespace Qbb.Contracts;

/// <summary>Event: the layers of a unit are decomposed.</summary>
/// <param name="PipelineId">Who asked.</param>
/// <param name="Unit">Of the command.</param>
/// <param name="Result">Manifest of the layers' files.</param>
/// <param name="Units">Units of the whole stage.</param>
/// <param name="Size">What every unit but the last holds: to be named in the commands of the others.</param>
/// <param name="Chained">Whether unit k + 1 needs the results of 0 to k; else all may run at once.</param>
/// <param name="RelativeError">‖W − Ŵ‖²/‖W‖² over the unit's layers.</param>
public sealed record LayersDecomposed(Guid PipelineId, Digest Unit, Digest Result, int Units, int Size, bool Chained, double RelativeError);
