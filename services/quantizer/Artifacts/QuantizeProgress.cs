namespace Qbb.Quantizer.Artifacts;

/// <summary>One more layer is finished and on disk.</summary>
/// <param name="Layer">Name of the linear layer.</param>
/// <param name="RelativeError">‖W − Ŵ‖²/‖W‖².</param>
/// <param name="Done">Finished layers.</param>
/// <param name="Total">Layers of the model.</param>
/// <param name="Remaining">Estimate of the time left, from the weights that are left; null before the first layer of this run.</param>
/// <param name="Resumed">The layer was finished by an earlier run.</param>
public sealed record QuantizeProgress(string Layer, double RelativeError, int Done, int Total, TimeSpan? Remaining, bool Resumed);
